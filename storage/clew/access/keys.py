"""API keys: a file of their hashes, which is read again when it changes.

A line is `NAME SCOPE[,SCOPE] sha256:HEX`; a comment starts with #. A name may have several lines:
so a new key can be given out before the old one is removed.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from clew.access.errors import KeysError
from clew.access.principal import SCOPES, Principal
from clew.background import WatchedFiles

logger = logging.getLogger(__name__)

CHECK_EVERY = 1.0  # seconds
_LINE = re.compile(r"(?P<name>[^\s#]+)\s+(?P<scopes>[a-z,]+)\s+sha256:(?P<hash>[0-9a-fA-F]{64})")


@dataclass(frozen=True)
class Key:
    """One line of the file: the name and scopes of the key with this SHA-256 hash."""

    name: str
    scopes: frozenset[str]
    hash: bytes

    def __str__(self) -> str:
        scopes = ",".join(scope for scope in SCOPES if scope in self.scopes)
        return f"{self.name} {scopes} sha256:{self.hash.hex()}"


class Keys:
    """The keys of a file. Raises KeysError when it cannot be read; if that happens later on, the
    keys do not change."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._watched = WatchedFiles(path, interval=CHECK_EVERY)
        self._keys = _read(path)

    def principal(self, key: str, name: str | None = None) -> Principal | None:
        """The principal with this key, or None. With `name`, the key must have that name."""
        lines = self.lines(key)
        return _principal(lines if name is None else [line for line in lines if line.name == name])

    def lines(self, key: str) -> list[Key]:
        """The lines of this key."""
        self._reload_if_changed()
        digest = _hash(key)
        # All hashes are compared, in constant time, so that the time does not reveal anything.
        return [line for line in self._keys if hmac.compare_digest(line.hash, digest)]

    def principal_where(self, is_meant: Callable[[Key], bool]) -> Principal | None:
        """The principal of the key whose lines are meant, or None."""
        self._reload_if_changed()
        return _principal([line for line in self._keys if is_meant(line)])

    def _reload_if_changed(self) -> None:
        if not self._watched.changed():
            return
        try:
            self._keys = _read(self._path)
        except KeysError as error:
            logger.error("%s: the API keys do not change", error)
        else:
            logger.info("read %d API keys from %s", len(self._keys), self._path)


def _principal(lines: list[Key]) -> Principal | None:
    """The principal with the scopes of all lines of one key; None without any."""
    if not lines:
        return None
    return Principal(lines[0].name, frozenset().union(*(line.scopes for line in lines)))


def new_key(name: str, scopes: list[str]) -> tuple[str, Key]:
    """A new random key, and its line for the file. Raises KeysError for an invalid name."""
    if not re.fullmatch(r"[^\s#]+", name):
        raise KeysError(f"key {name!r}: choose a name without spaces and #")
    key = f"clew_{secrets.token_urlsafe(32)}"
    return key, Key(name, frozenset(scopes), _hash(key))


def add_key(path: Path, key: Key) -> None:
    """Append a key to the file, which is created if it does not exist. Raises KeysError."""
    try:
        with open(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "r+b") as file:
            content = file.read()
            file.write(b"\n" if content and not content.endswith(b"\n") else b"")
            file.write(f"{key}\n".encode())
    except OSError as error:
        raise KeysError(f"--api-keys: cannot write {path}: {error.strerror}") from error


def _read(path: Path) -> tuple[Key, ...]:
    try:
        lines = path.read_text().splitlines()
    except (OSError, ValueError) as error:
        raise KeysError(f"--api-keys: cannot read {path}: {error}") from error
    keys = []
    for number, line in enumerate(lines, 1):
        text = line.partition("#")[0].strip()
        if text:
            keys.append(_key(text, f"{path}, line {number}"))
    return tuple(keys)


def _key(text: str, location: str) -> Key:
    # Errors do not quote the line: it may contain a key instead of a hash.
    line = _LINE.fullmatch(text)
    if line is None:
        raise KeysError(f"--api-keys: {location}: write NAME SCOPE[,SCOPE] sha256:HEX")
    scopes = frozenset(line["scopes"].split(","))
    if not scopes <= set(SCOPES):
        raise KeysError(
            f"--api-keys: {location}: a scope is {', '.join(SCOPES[:-1])} or {SCOPES[-1]}"
        )
    return Key(line["name"], scopes, bytes.fromhex(line["hash"]))


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
