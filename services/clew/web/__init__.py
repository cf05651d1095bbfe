"""The web UI as it is served: a page that every path gets, its assets, and their headers. The
sources are in services/ui; building them writes `static`."""

from __future__ import annotations

from pathlib import Path

from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

STATIC = Path(__file__).parent / "static"
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; font-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
}
FOREVER = {"cache-control": "public, max-age=31536000, immutable"}  # their names contain a hash
NOT_BUILT = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>clew</title>
<h1>clew runs; its web UI is not built</h1>
<p>It needs Node.js 20.19 or newer: install that, then <code>make ui</code> in the checkout, and
load this page again. Everything else works without it: <a href="/docs">the API</a>, Grafana, SQL.
"""


class Web:
    """The ASGI application, for GET and HEAD: every path but a missing asset has a page."""

    def __init__(self, static: Path = STATIC) -> None:
        self._static = static

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._response(scope["path"])(scope, receive, send)

    def _response(self, path: str) -> Response:
        if path.startswith("/assets/"):
            # One level: no path can lead out of it.
            file = self._static / "assets" / path.removeprefix("/assets/").replace("/", "\0")
            if "\0" in file.name or not file.is_file():
                return PlainTextResponse("no such asset: load the page again\n", 404, HEADERS)
            return FileResponse(file, headers=HEADERS | FOREVER)
        page = self._static / "index.html"
        headers = HEADERS | {"cache-control": "no-cache"}
        if not page.is_file():
            return HTMLResponse(NOT_BUILT, headers=headers)
        return HTMLResponse(page.read_bytes(), headers=headers)
