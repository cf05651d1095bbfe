"""The errors of access; clew.access draws their tree."""

from __future__ import annotations


class AccessError(Exception):
    """A request is refused, or the keys cannot be used."""


class Unauthenticated(AccessError):
    """No valid API key came with the request."""

    def __init__(self) -> None:
        super().__init__("send a valid API key: Authorization: Bearer <key>")


class Forbidden(AccessError):
    """The key is valid, and its scopes do not allow what is asked."""

    def __init__(self, scope: str) -> None:
        super().__init__(f"this API key is not for this: its scopes lack `{scope}`")
        self.scope = scope


class KeysError(AccessError):
    """The file of keys cannot be used; says what to write instead."""
