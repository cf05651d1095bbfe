"""A server that speaks ClickHouse's HTTP protocol, for other clews: `clew serve` on an embedded
engine, with a key for them."""

from __future__ import annotations

import random
import socket
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx

from clew.cli.keys import add, new_key
from conftest import FREE_ADDRESSES, Clew


class Server(Clew):
    """Its address stays when it is started again. `dsn` is for other clews."""

    command = "serve"

    def __init__(self, directory: Path) -> None:
        keys = directory / "keys"
        self.key, line = new_key("other", ["database", "read"])
        add(keys, line)
        port = free_port()
        self.addresses = [*FREE_ADDRESSES[:-1], f"127.0.0.1:{port}"]
        self.dsn = f"clickhouse://other:{self.key}@127.0.0.1:{port}/"
        super().__init__(directory / "server", "--api-keys", str(keys))

    def get(self, path: str, **parameters: object) -> httpx.Response:
        return httpx.get(
            f"{self.endpoints['api']}{path}",
            params=parameters,  # type: ignore[arg-type]
            headers={"authorization": f"Bearer {self.key}"},
            timeout=30,
        )

    def ask(self, sql: str, **parameters: Any) -> str:
        """A statement, as another clew's."""
        answer = httpx.post(
            self.endpoints["clickhouse"], content=sql, params=parameters,
            auth=("other", self.key), timeout=60,
        )  # fmt: skip
        assert answer.is_success, answer.text
        return answer.text


class Serve(Clew):
    """`clew serve` on a server."""

    command = "serve"

    def __init__(self, data: Path, server: Server, *flags: str) -> None:
        super().__init__(data, "--dsn", server.dsn, *flags)


class Collect(Clew):
    """`clew collect` on a server, and the API of a `clew serve` on the same."""

    command = "collect"

    def __init__(self, data: Path, server: Server, serve: Serve, *flags: str) -> None:
        self.serve = serve
        super().__init__(data, "--dsn", server.dsn, *flags)

    def start(self) -> None:
        super().start()
        self.endpoints["api"] = self.serve.endpoints["api"]


def free_port() -> int:
    """One that stays free while nobody listens there: none that is given to who asks for any."""
    while True:
        port = random.randrange(20_000, 32_000)
        with closing(socket.socket()) as tried:
            if tried.connect_ex(("127.0.0.1", port)) != 0:
                return port
