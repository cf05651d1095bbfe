"""Who may call what: each request carries its principal, each route says which scope it needs."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from clew.access import AccessError, Authenticator, Principal, bearer_key
from clew.api.problems import refusal

OPEN = ("/healthz", "/readyz")
READING = frozenset(("GET", "HEAD", "OPTIONS"))

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


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
    """A route that refuses a principal without `required_scope`, before the body is read."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        self.required_scope = required_scope(endpoint, set(options.get("methods") or ("GET",)))
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


class Authentication:
    """Finds the principal of each request and puts it into its state, before the body is read.
    Requests for the process's health pass without one.

    A route of the API checks its own scope (ScopedRoute); what lies beside the API,
    such as /docs, needs `read`."""

    def __init__(self, app: ASGIApp, authenticator: Authenticator) -> None:
        self._app = app
        self._authenticator = authenticator

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in OPEN:
            try:
                scope.setdefault("state", {})["principal"] = self._principal(scope)
            except AccessError as error:
                await refusal(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _principal(self, scope: Scope) -> Principal:
        authorization = Headers(scope=scope).get("authorization", "")
        principal = self._authenticator.authenticate(bearer_key(authorization))
        if not scope["path"].startswith("/api/"):
            principal.require("read")
        return principal
