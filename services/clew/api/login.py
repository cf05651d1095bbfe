"""Logins of browsers: a cookie in place of an API key, which a page must never hold."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Request, Response

from clew.access import LIFETIME, Logins
from clew.api.access import COOKIE
from clew.api.problems import Problem

router = APIRouter()

ATTRIBUTES = "Path=/; Secure; HttpOnly; SameSite=Strict"
NO_KEYS = "this clew has no API keys (--api-keys): nobody needs to log in"


@router.post("/login", include_in_schema=False)
def log_in(
    request: Request,
    key: Annotated[str, Body(embed=True, max_length=1000)],
) -> Response:
    """Sets a cookie that stands for the key for 12 hours, or until its line leaves the file. It is
    sent over TLS, or to this machine, alone. With it, a change needs the header `X-Clew` too."""
    logins: Logins | None = request.app.state.logins
    if logins is None:
        raise Problem(404, NO_KEYS)
    token = logins.token(key)
    logins.principal(token).require("read")
    return _answer(f"{token}; Max-Age={LIFETIME}")


@router.post("/logout", include_in_schema=False)
def log_out() -> Response:
    """Deletes the cookie of a login."""
    return _answer("; Max-Age=0")


def _answer(value: str) -> Response:
    cookie = f"{COOKIE}={value}; {ATTRIBUTES}"
    return Response(status_code=204, headers={"set-cookie": cookie, "cache-control": "no-store"})
