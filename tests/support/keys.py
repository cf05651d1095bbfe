"""Principals for tests of what is behind them."""

from __future__ import annotations

from collections.abc import Mapping

from clew.access import Authenticator, Principal


class KeyRing:
    """Keys and their scopes; a key is its own name."""

    def __init__(self, scopes: Mapping[str, set[str]]) -> None:
        self._scopes = scopes

    def principal(self, key: str, name: str | None = None) -> Principal | None:
        if key not in self._scopes or name not in (None, key):
            return None
        return Principal(key, frozenset(self._scopes[key]))


def authenticator(**scopes: set[str]) -> Authenticator:
    """For clients with these keys, each with its scopes."""
    return Authenticator(KeyRing(scopes))
