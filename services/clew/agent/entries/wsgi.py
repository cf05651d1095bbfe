"""Functions of contrib's WSGI instrumentation. Those of Flask, Django, Pyramid and Falcon use them.

The results are contrib's, computed by its own functions and kept where they come again.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from typing import Any

from opentelemetry import trace

from clew.agent.entries.request import CACHE_SIZE

contrib: Any = import_module("opentelemetry.instrumentation.wsgi")
STABLE = contrib._StabilityMode.HTTP

Items = tuple[tuple[str, Any], ...]

_collect_request_attributes = contrib.collect_request_attributes
_collect_request_headers = contrib.collect_custom_request_headers_attributes
_collect_response_headers = contrib.collect_custom_response_headers_attributes
# Up to 0.63b1 contrib takes path and query from the target, later from PATH_INFO and QUERY_STRING.
_parse_target = getattr(contrib, "_parse_url_query", None)


def replace(module: Any) -> None:
    """Have contrib's module give the functions of this one."""
    module.collect_request_attributes = collect_request_attributes
    module.collect_custom_request_headers_attributes = collect_request_headers
    module.collect_custom_response_headers_attributes = collect_response_headers


def collect_request_attributes(environ: Any, sem_conv_opt_in_mode: Any = None) -> dict[str, Any]:
    """As contrib's function of that name."""
    if sem_conv_opt_in_mode is not STABLE:
        modes = () if sem_conv_opt_in_mode is None else (sem_conv_opt_in_mode,)
        return dict(_collect_request_attributes(environ, *modes))
    attributes = dict(connection_of(environ).attributes)
    target = environ.get("RAW_URI")
    if target is None:
        target = environ.get("REQUEST_URI")
    if target:
        path, query = environ.get("PATH_INFO"), environ.get("QUERY_STRING")
        if _parse_target is not None:
            path, query = _parse_target(target)
        contrib._set_http_target(attributes, target, path, query, STABLE)
    address, host = environ.get("REMOTE_ADDR"), environ.get("REMOTE_HOST")
    if address:
        attributes["client.address"] = address
    if host and host != address:
        attributes["client.address"] = host
    port = environ.get("REMOTE_PORT")
    if port:
        contrib._set_http_peer_port_server(attributes, port, STABLE)
    agent = environ.get("HTTP_USER_AGENT")
    if agent:
        attributes.update(_user_agent_attributes(agent))
    return attributes


def collect_request_headers(environ: Any) -> dict[str, Any]:
    """As contrib's, which reads all headers before it looks whether any is wanted."""
    if not os.environ.get(contrib.OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST):
        return {}
    return dict(_collect_request_headers(environ))


def collect_response_headers(response_headers: Any) -> dict[str, Any]:
    """Likewise."""
    if not os.environ.get(contrib.OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_RESPONSE):
        return {}
    return dict(_collect_response_headers(response_headers))


@dataclass(frozen=True)
class Connection:
    """What requests with one method over one kind of connection have in common. active, measured:
    attributes of metrics."""

    attributes: dict[str, Any]
    active: dict[str, Any]
    measured: Items


def connection_of(environ: Any) -> Connection:
    """That of a request."""
    return _connection(
        environ.get("REQUEST_METHOD", ""),
        environ.get("wsgi.url_scheme"),
        environ.get("SERVER_PROTOCOL", ""),
        environ.get("HTTP_HOST"),
        environ.get("SERVER_PORT"),
    )


@lru_cache(CACHE_SIZE)
def _connection(
    method: str, scheme: str | None, protocol: str, host: str | None, port: str | None
) -> Connection:
    environ = {
        "REQUEST_METHOD": method,
        "wsgi.url_scheme": scheme,
        "SERVER_PROTOCOL": protocol,
        "HTTP_HOST": host,
        "SERVER_PORT": port,
    }
    attributes = _collect_request_attributes(environ, STABLE)
    return Connection(
        attributes=attributes,
        active=contrib._parse_active_request_count_attrs(attributes, STABLE),
        measured=tuple(contrib._parse_duration_attrs(attributes, STABLE).items()),
    )


@lru_cache(CACHE_SIZE)
def _user_agent_attributes(agent: Any) -> dict[str, Any]:
    with_agent = _collect_request_attributes({"HTTP_USER_AGENT": agent}, STABLE)
    without = _collect_request_attributes({}, STABLE)
    return {key: value for key, value in with_agent.items() if key not in without}


@lru_cache(CACHE_SIZE)
def point_attributes(measured: Items, route: str | None, status: str | None) -> dict[str, Any]:
    """Of metrics. Nothing may change the result. status: as `start_response` gets it."""
    attributes = dict(measured)
    if status is not None:
        contrib.add_response_attributes(trace.INVALID_SPAN, status, [], attributes, STABLE)
    if route is not None:
        attributes["http.route"] = route
    return attributes
