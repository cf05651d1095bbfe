"""Principals, and how an API key names one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from clew.access.errors import Forbidden, Unauthenticated

# `ingest` sends telemetry, `read` asks for it, `admin` changes definitions, `database` is for
# another clew, whose server this one is (`clickhouse://NAME:KEY@host:8123/`): it may do anything in
# the database otel, and nothing beyond it.
SCOPES = ("ingest", "read", "admin", "database")


@dataclass(frozen=True)
class Principal:
    """Who a request is from. `name` is that of their API key; "" where no keys are configured."""

    name: str
    scopes: frozenset[str]

    def may(self, scope: str) -> bool:
        """Whether their scopes have this one."""
        return scope in self.scopes

    def require(self, scope: str) -> None:
        """Raises Forbidden unless their scopes have this one."""
        if scope not in self.scopes:
            raise Forbidden(scope)


# Of a clew without keys; `database` is asked for by name, and nobody has one there.
ANYONE = Principal("", frozenset(SCOPES) - {"database"})


class KeyRing(Protocol):
    """What an authenticator needs of the keys."""

    def principal(self, key: str, name: str | None = None) -> Principal | None:
        """Who has this key, or None. With `name`, only if the key is of that name."""


class Authenticator:
    """Finds the principal of a request. Without keys it is anyone, and anyone may do anything."""

    def __init__(self, keys: KeyRing | None = None) -> None:
        self._keys = keys

    @property
    def has_keys(self) -> bool:
        """Whether clients need a key."""
        return self._keys is not None

    def authenticate(self, key: str, name: str | None = None) -> Principal:
        """The principal with this API key; with `name`, only if the key is of that name. Raises
        Unauthenticated."""
        if self._keys is None:
            return ANYONE
        principal = self._keys.principal(key, name)
        if principal is None:
            raise Unauthenticated
        return principal


def bearer_key(authorization: str) -> str:
    """The API key in an Authorization header (`Bearer KEY`); "" when there is none."""
    scheme, _, key = authorization.partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""
