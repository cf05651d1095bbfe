"""Requests over ASGI, WSGI and aiohttp, as the rules read them. A view reads nothing but what the
carrier of a context has already: no byte of a body."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from typing import Any, Protocol
from urllib.parse import parse_qsl

from opentelemetry.context import Context

from clew.agent.business.rules import Take, text_of

_LONGEST_QUERY = 16_384

# The context of the request that aiohttp is about to handle in this task.
extracted: ContextVar[Context | None] = ContextVar("clew_extracted_context", default=None)


class Request(Protocol):
    """`paths`: with the prefix at which the application is mounted, and without."""

    method: str
    paths: tuple[str, ...]

    def header(self, name: str) -> str: ...

    def query(self) -> str: ...


class AsgiRequest:
    """A request by its scope."""

    def __init__(self, scope: dict[str, Any]) -> None:
        self._scope = scope
        self.method = str(scope.get("method", ""))
        path, root = scope.get("path", ""), scope.get("root_path", "")
        self.paths: tuple[str, ...] = (path, path.removeprefix(root)) if root else (path,)

    def header(self, name: str) -> str:
        expected = name.lower().encode()
        for key, value in self._scope.get("headers", ()):
            if key.lower() == expected:
                return str(value.decode("latin-1"))
        return ""

    def query(self) -> str:
        return str(self._scope.get("query_string", b"").decode("latin-1"))


class WsgiRequest:
    """A request by its environ."""

    def __init__(self, environ: dict[str, Any]) -> None:
        self._environ = environ
        self.method = str(environ.get("REQUEST_METHOD", ""))
        path, prefix = _decoded(environ.get("PATH_INFO", "")), environ.get("SCRIPT_NAME", "")
        self.paths: tuple[str, ...] = (path, _decoded(prefix) + path) if prefix else (path,)

    def header(self, name: str) -> str:
        key = name.upper().replace("-", "_")
        plain = ("CONTENT_TYPE", "CONTENT_LENGTH")
        return str(self._environ.get(key if key in plain else f"HTTP_{key}", ""))

    def query(self) -> str:
        return str(self._environ.get("QUERY_STRING", ""))


class AiohttpRequest:
    """aiohttp's own."""

    def __init__(self, request: Any) -> None:
        self._request = request
        self.method = str(request.method)
        self.paths: tuple[str, ...] = (str(request.path),)

    def header(self, name: str) -> str:
        return str(self._request.headers.get(name, ""))

    def query(self) -> str:
        return str(self._request.rel_url.raw_query_string)


def request_of(carrier: Any) -> Request | None:
    """The request that a context is extracted from; None if it is something else."""
    if isinstance(carrier, dict):
        if carrier.get("type") == "http" and "headers" in carrier:
            return AsgiRequest(carrier)
        return WsgiRequest(carrier) if "REQUEST_METHOD" in carrier else None
    if is_aiohttp(carrier):
        return AiohttpRequest(carrier)
    return None


def is_aiohttp(carrier: Any) -> bool:
    """Whether it is a request of aiohttp's server."""
    return type(carrier).__module__ == "aiohttp.web_request"


def value_of(request: Request, take: Take) -> str:
    """The value of a header, of a part of the path or of a query parameter; empty if there is
    none."""
    if take.part == "header":
        return text_of(request.header(take.name))
    if take.part == "path":
        return text_of(next(_in_paths(request.paths, take), ""))
    if take.part == "query":
        with contextlib.suppress(ValueError):
            query = parse_qsl(request.query()[:_LONGEST_QUERY])
            return text_of(next((text for name, text in query if name == take.name), ""))
    return ""


def _in_paths(paths: Sequence[str], take: Take) -> Iterator[str]:
    assert take.pattern is not None
    for path in paths:
        if place := take.pattern.search(path):
            yield place[1]


def _decoded(path: str) -> str:
    return path.encode("latin-1", "replace").decode("utf-8", "replace")
