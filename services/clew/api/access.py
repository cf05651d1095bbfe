"""Who may read, and who may change what there is to change."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from clew.api.problems import document

# What a client with this Authorization header may do of that scope: OK, UNAUTHORIZED or FORBIDDEN.
Admit = Callable[[str, str], HTTPStatus]

OPEN = ("/healthz", "/readyz")
READING = ("GET", "HEAD", "OPTIONS")
REFUSALS = {
    HTTPStatus.UNAUTHORIZED: "send a valid API key: Authorization: Bearer <key>",
    HTTPStatus.FORBIDDEN: "this API key is not for this: its scopes lack `{}`",
}


class KeysOnly:
    """Lets requests through that `admit` allows, and those for the process's health."""

    def __init__(self, app: ASGIApp, admit: Admit) -> None:
        self._app = app
        self._admit = admit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in OPEN:
            needed = "read" if scope["method"] in READING else "admin"
            admitted = self._admit(Headers(scope=scope).get("authorization", ""), needed)
            if admitted is not HTTPStatus.OK:
                refusal = document(admitted, REFUSALS[admitted].format(needed))
                refusal.headers["www-authenticate"] = 'Bearer realm="clew"'
                await refusal(scope, receive, send)
                return
        await self._app(scope, receive, send)
