"""Logins of browsers: a token that stands for an API key for some hours, and never contains it."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from pathlib import Path

from clew.access.errors import KeysError, Unauthenticated
from clew.access.keys import Keys
from clew.access.principal import Principal

LIFETIME = 12 * 3600  # seconds
_TOKEN = re.compile(r"(?P<name>[\w-]+)\.(?P<expiry>\d{1,12})\.(?P<signature>[0-9a-f]{64})", re.A)


class Logins:
    """Makes and reads tokens. A token ends with its key: when the key's line leaves the file.

    `secret`: signs the tokens."""

    def __init__(self, keys: Keys, secret: bytes) -> None:
        self._keys = keys
        self._secret = secret

    def token(self, key: str) -> str:
        """A token for this API key. Raises Unauthenticated for an unknown one."""
        lines = self._keys.lines(key)
        if not lines:
            raise Unauthenticated
        line = lines[0]
        name = urlsafe_b64encode(line.name.encode()).rstrip(b"=").decode()
        expiry = int(time.time()) + LIFETIME
        return f"{name}.{expiry}.{self._signature(line.name, expiry, line.hash)}"

    def principal(self, token: str) -> Principal:
        """The principal of the token's key. Raises Unauthenticated for a token that has expired,
        was not made here, or whose key is gone."""
        parts = _TOKEN.fullmatch(token)
        if parts is None or int(parts["expiry"]) <= time.time():
            raise Unauthenticated
        try:
            name = urlsafe_b64decode(parts["name"] + "==").decode()
        except ValueError as error:
            raise Unauthenticated from error
        expiry = int(parts["expiry"])
        principal = self._keys.principal_where(
            lambda line: hmac.compare_digest(
                self._signature(name, expiry, line.hash), parts["signature"]
            )
        )
        if principal is None:
            raise Unauthenticated
        return principal

    def _signature(self, name: str, expiry: int, key_hash: bytes) -> str:
        message = b"%d %b %b" % (expiry, key_hash, name.encode())
        return hmac.new(self._secret, message, hashlib.sha256).hexdigest()


def login_secret(path: Path) -> bytes:
    """The secret in this file, which is made if it does not exist. Raises KeysError."""
    try:
        if not path.exists():
            new = path.with_suffix(".new")
            with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(secrets.token_bytes(32))
            new.rename(path)
        secret = path.read_bytes()
    except OSError as error:
        raise KeysError(f"--data: cannot keep a secret in {path}: {error.strerror}") from error
    if len(secret) < 32:
        raise KeysError(f"--data: {path} is too short for a secret: delete it")
    return secret
