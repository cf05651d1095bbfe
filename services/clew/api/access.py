"""Who may read."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from clew.api.problems import document

Admit = Callable[[str], HTTPStatus]

OPEN = ("/healthz", "/readyz")
REFUSALS = {
    HTTPStatus.UNAUTHORIZED: "send a valid API key: Authorization: Bearer <key>",
    HTTPStatus.FORBIDDEN: "this API key is not for reading: its scopes lack `read`",
}


class KeysOnly:
    """Lets requests through that `admit` allows, and those for the process's health."""

    def __init__(self, app: ASGIApp, admit: Admit) -> None:
        self._app = app
        self._admit = admit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in OPEN:
            admitted = self._admit(Headers(scope=scope).get("authorization", ""))
            if admitted is not HTTPStatus.OK:
                refusal = document(admitted, REFUSALS[admitted])
                refusal.headers["www-authenticate"] = 'Bearer realm="clew"'
                await refusal(scope, receive, send)
                return
        await self._app(scope, receive, send)
