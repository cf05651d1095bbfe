"""Principals, and how they are found by their API keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from clew.access.errors import Forbidden, Unauthenticated

# `ingest` allows sending telemetry, `events` posting events such as deployments, `read` queries,
# `operate` what one does about alerts, such as a silence, `admin` changes of definitions and rules.
# `database` is for another clew that uses this
# one as its ClickHouse server (`clickhouse://NAME:KEY@host:8123/`): it allows everything in the
# database otel, and nothing else here but rules of alerts in SQL.
SCOPES = ("ingest", "events", "read", "operate", "admin", "database")


@dataclass(frozen=True)
class Principal:
    """The sender of a request. `name` is that of the API key; "" if no keys are configured."""

    name: str
    scopes: frozenset[str]

    def may(self, scope: str) -> bool:
        """Whether the principal has this scope."""
        return scope in self.scopes

    def require(self, scope: str) -> None:
        """Raises Forbidden unless the principal has this scope."""
        if scope not in self.scopes:
            raise Forbidden(scope)


# The sender of every request to a clew without keys. `database` needs a key with a name.
ANYONE = Principal("", frozenset(SCOPES) - {"database"})


class KeyRing(Protocol):
    """What an authenticator needs: Keys implements it."""

    def principal(self, key: str, name: str | None = None) -> Principal | None:
        """The principal with this key, or None. With `name`, the key must have that name."""


class Authenticator:
    """Finds the principal of a request. Without keys it is ANYONE."""

    def __init__(self, keys: KeyRing | None = None) -> None:
        self._keys = keys

    @property
    def has_keys(self) -> bool:
        """Whether clients need a key."""
        return self._keys is not None

    def authenticate(self, key: str, name: str | None = None) -> Principal:
        """The principal with this API key. With `name`, the key must have that name. Raises
        Unauthenticated."""
        if self._keys is None:
            return ANYONE
        principal = self._keys.principal(key, name)
        if principal is None:
            raise Unauthenticated
        return principal


def bearer_key(authorization: str) -> str:
    """The API key in an Authorization header (`Bearer KEY`); "" if it has none."""
    scheme, _, key = authorization.partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""
