"""The errors of access; clew.access lists them."""

from __future__ import annotations


class AccessError(Exception):
    """A request is refused, or the keys cannot be read."""


class Unauthenticated(AccessError):
    """The request has no valid API key."""

    def __init__(self) -> None:
        super().__init__("send a valid API key: Authorization: Bearer <key>")


class Forbidden(AccessError):
    """The key is valid, but its scopes do not allow the request."""

    def __init__(self, scope: str) -> None:
        super().__init__(f"this request needs an API key with the scope `{scope}`")
        self.scope = scope


class KeysError(AccessError):
    """The file of keys cannot be used; says what to write instead."""
