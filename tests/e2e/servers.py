"""A server that speaks ClickHouse's HTTP protocol, for other clews: `clew serve` on an embedded
engine, with a key for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx

from clew.cli.keys import add, new_key
from conftest import FREE_ADDRESSES, Clew


class Server(Clew):
    """Its address stays when it is started again. `dsn` is for other clews."""

    command = "serve"

    def __init__(self, directory: Path, port: int) -> None:
        keys = directory / "keys"
        self.key, line = new_key("other", ["database", "read"])
        add(keys, line)
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


class Collect(Clew):
    """`clew collect` on a server."""

    command = "collect"

    def __init__(self, data: Path, server: Server, *flags: str) -> None:
        super().__init__(data, "--dsn", server.dsn, *flags)


class Serve(Clew):
    """`clew serve` on a server."""

    command = "serve"

    def __init__(self, data: Path, server: Server, *flags: str) -> None:
        super().__init__(data, "--dsn", server.dsn, *flags)
