"""API keys: a file of their hashes, read again when it changes.

Scopes: `ingest` sends telemetry, `read` asks for it, `admin` changes definitions, `database` is for
another clew, whose server this one is (`clickhouse://NAME:KEY@host:8123/`): it may do anything in
database otel, and nothing beyond it.

A line is `NAME SCOPE[,SCOPE] sha256:HEX`; what follows # is a comment. The same name may have
several lines, so that a new key can be given out before the old one is taken away.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import re
import secrets
import time
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from clew.cli.settings import UsageError

logger = logging.getLogger(__name__)

SCOPES = ("ingest", "read", "admin", "database")
LOOK_AFTER = 1.0  # seconds
_LINE = re.compile(r"(?P<name>[^\s#]+)\s+(?P<scopes>[a-z,]+)\s+sha256:(?P<hash>[0-9a-fA-F]{64})")


@dataclass(frozen=True)
class Key:
    """One line: what whoever has the key of this hash may do."""

    name: str
    scopes: frozenset[str]
    hash: bytes

    def __str__(self) -> str:
        scopes = ",".join(scope for scope in SCOPES if scope in self.scopes)
        return f"{self.name} {scopes} sha256:{self.hash.hex()}"


class Keys:
    """The keys of a file. Raises UsageError when it cannot be read; later on, a file that cannot be
    read leaves the keys as they were."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = _stamp(path)
        self._keys = _read(path)
        self._looked = time.monotonic()

    def check(self, authorization: str, scope: str) -> HTTPStatus:
        """Whether an Authorization header allows `scope`: OK, UNAUTHORIZED or FORBIDDEN."""
        scheme, _, key = authorization.partition(" ")
        found = self._with(key.strip())
        if scheme.lower() != "bearer" or not found:
            return HTTPStatus.UNAUTHORIZED
        allowed = any(scope in each.scopes for each in found)
        return HTTPStatus.OK if allowed else HTTPStatus.FORBIDDEN

    def scopes(self, name: str, key: str) -> frozenset[str] | None:
        """What the user of this name may do whose password is a key; None when it is not one's."""
        found = [each.scopes for each in self._with(key) if each.name == name]
        return frozenset[str]().union(*found) if found else None

    def _with(self, key: str) -> list[Key]:
        self._look_again()
        given = _hash(key)
        # Every key is compared, whichever it is: how long it takes says nothing.
        return [each for each in self._keys if hmac.compare_digest(each.hash, given)]

    def _look_again(self) -> None:
        if time.monotonic() - self._looked < LOOK_AFTER:
            return
        self._looked = time.monotonic()
        stamp = _stamp(self._path)
        if stamp == self._seen:
            return
        self._seen = stamp
        try:
            self._keys = _read(self._path)
        except UsageError as error:
            logger.error("%s: the keys stay as they were", error)
        else:
            logger.info("read %d API keys from %s", len(self._keys), self._path)


def new_key(name: str, scopes: list[str]) -> tuple[str, Key]:
    """A new random key, and what goes into the file for it."""
    if not re.fullmatch(r"[^\s#]+", name):
        raise UsageError(f"key {name!r}: a name has no spaces and no #")
    key = f"clew_{secrets.token_urlsafe(32)}"
    return key, Key(name, frozenset(scopes), _hash(key))


def add(path: Path, key: Key) -> None:
    """Append a key to a file, which is made when there is none. Raises UsageError."""
    try:
        with open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "r+b") as file:
            before = file.read()
            file.write(b"\n" if before and not before.endswith(b"\n") else b"")
            file.write(f"{key}\n".encode())
    except OSError as error:
        raise UsageError(f"--api-keys: cannot write {path}: {error.strerror}") from error


def _read(path: Path) -> tuple[Key, ...]:
    try:
        lines = path.read_text().splitlines()
    except (OSError, ValueError) as error:
        raise UsageError(f"--api-keys: cannot read {path}: {error}") from error
    keys = []
    for number, line in enumerate(lines, 1):
        text = line.partition("#")[0].strip()
        if text:
            keys.append(_key(text, f"{path}, line {number}"))
    return tuple(keys)


def _key(text: str, where: str) -> Key:
    # The line itself is not shown: somebody may have written the key into it.
    line = _LINE.fullmatch(text)
    if line is None:
        raise UsageError(f"--api-keys: {where}: write NAME SCOPE[,SCOPE] sha256:HEX")
    scopes = frozenset(line["scopes"].split(","))
    if not scopes <= set(SCOPES):
        raise UsageError(
            f"--api-keys: {where}: a scope is {', '.join(SCOPES[:-1])} or {SCOPES[-1]}"
        )
    return Key(line["name"], scopes, bytes.fromhex(line["hash"]))


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
