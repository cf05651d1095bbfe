"""Who may call what: each request carries its principal, each route says which scope it needs."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from clew.access import READING, AccessError, Authenticator, Logins, Principal, bearer_key
from clew.api.freshness import declared_reads
from clew.api.problems import refusal

HEALTH = ("/healthz", "/readyz")
OPEN = (*HEALTH, "/login", "/logout")
DATA = ("/api/", "/openapi.json", "/docs", "/redoc", "/v1/")
COOKIE = "__Host-clew"  # a browser sends it over TLS, or to this machine, and to this origin alone

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


def is_open(scope: Scope) -> bool:
    """Whether a request needs no key: for the process's health, a login, or a page without data."""
    return scope["path"] in OPEN or asks_for_page(scope)


def asks_for_page(scope: Scope) -> bool:
    """Whether this is a GET of what lies beside the API: the UI's pages, which contain no data."""
    path: str = scope["path"]
    reads = scope["method"] in ("GET", "HEAD")
    return reads and path not in HEALTH and not path.startswith(DATA)


def requires(scope: str) -> Callable[[Endpoint], Endpoint]:
    """Declares the scope that a route needs; written between the router's decorator and the
    endpoint. A route that only reads needs `read` without saying so; every other must say."""

    def declare(endpoint: Endpoint) -> Endpoint:
        endpoint.required_scope = scope  # type: ignore[attr-defined]
        return endpoint

    return declare


def required_scope(endpoint: Callable[..., Any], methods: set[str]) -> str:
    """The scope that a route needs. Raises TypeError for one that changes something and does not
    declare it."""
    declared: str | None = getattr(endpoint, "required_scope", None)
    if declared is not None:
        return declared
    if methods <= READING:
        return "read"
    raise TypeError(f"{endpoint.__name__}: declare the scope that it needs with @requires")


class ScopedRoute(APIRoute):
    """A route that refuses a principal without `required_scope`, before the body is read. `reads`
    and `waits_unasked`: see clew.api.freshness."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        methods = set(options.get("methods") or ("GET",))
        self.required_scope = required_scope(endpoint, methods)
        self.reads, self.waits_unasked = declared_reads(endpoint, methods)
        super().__init__(path, endpoint, **options)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def admitted(request: Request) -> Response:
            self.admit(request)
            return await handle(request)

        return admitted

    def admit(self, request: Request) -> None:
        """Raises AccessError for a principal without the route's scope."""
        request.state.principal.require(self.required_scope)


class NotFromPage(AccessError):
    """A request with the cookie of a login, which may come from another page."""

    def __init__(self) -> None:
        super().__init__("with a login's cookie, a change needs the header X-Clew too")


def _cookie(headers: Headers) -> str:
    for cookie in headers.get("cookie", "").split(";"):
        name, _, value = cookie.partition("=")
        if name.strip() == COOKIE:
            return value.strip()
    return ""


class Authentication:
    """Finds the principal of each request, by its API key or by the cookie of a login, and puts it
    into its state, before the body is read. Requests for the process's health, logins and pages
    without data pass without one. With the cookie alone nothing can be changed: a page of this
    origin can send the header X-Clew too, a page of another cannot.

    A route of the API checks its own scope (ScopedRoute); what lies beside the API,
    such as /docs, needs `read`."""

    def __init__(
        self, app: ASGIApp, authenticator: Authenticator, logins: Logins | None = None
    ) -> None:
        self._app = app
        self._authenticator = authenticator
        self._logins = logins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not is_open(scope):
            try:
                scope.setdefault("state", {})["principal"] = self._principal(scope)
            except AccessError as error:
                await refusal(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _principal(self, scope: Scope) -> Principal:
        headers = Headers(scope=scope)
        authorization = headers.get("authorization", "")
        token = "" if authorization else _cookie(headers)
        if token and self._logins is not None:
            principal = self._logins.principal(token)
            if scope["method"] not in READING and "x-clew" not in headers:
                raise NotFromPage
        else:
            principal = self._authenticator.authenticate(bearer_key(authorization))
        if not scope["path"].startswith("/api/"):
            principal.require("read")
        return principal
