"""A client of the API, which runs in the same process over the real engine."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx

from clew.api import create_app
from clew.storage import LedgerRow, Limits, Reader, Store
from clew.storage.freshness import Freshness
from clew.storage.ledger import PENDING


class Received:
    """A collector that has received these rows of the ledger, and loads nothing."""

    def __init__(self, *rows: LedgerRow) -> None:
        self._rows = list(rows)

    def accepts(self) -> bool:
        return True

    def pending(self) -> list[LedgerRow]:
        return self._rows

    def pending_segments(self) -> list[LedgerRow]:
        return [row for row in self._rows if row.fate == PENDING]

    def seal(self, signal: str, segment: int) -> None: ...

    def is_behind(self) -> bool:
        return True


def received(*rows: LedgerRow) -> Freshness:
    """What an application is told of these rows, which are not in the ledger's table."""
    freshness = Freshness()
    freshness.register(Received(*rows))
    return freshness


class ApiClient:
    """Sends requests to an application of its own."""

    def __init__(self, store: Store, limits: Limits | None = None) -> None:
        reader = Reader(store, limits)
        self.app = create_app(reader, reader.answers)

    def response(self, path: str, **parameters: Any) -> httpx.Response:
        return self.send("GET", path, params=parameters)

    def send(self, method: str, path: str, **request: Any) -> httpx.Response:
        return asyncio.run(self._send(method, path, request))

    def get(self, path: str, **parameters: Any) -> Any:
        """The document of a successful response."""
        response = self.response(path, **parameters)
        assert response.status_code == 200, response.text
        return response.json()

    def problem(self, path: str, **parameters: Any) -> dict[str, Any]:
        """The problem document of an error, whose form is checked."""
        response = self.response(path, **parameters)
        assert response.headers["content-type"] == "application/problem+json", response.text
        document: dict[str, Any] = response.json()
        assert document["status"] == response.status_code
        assert document["type"]
        assert document["title"]
        assert document["detail"]
        return document

    def pages(self, path: str, member: str, **parameters: Any) -> list[list[Any]]:
        """The `member` of every page, following next_cursor to the last one."""
        pages = []
        cursor: dict[str, str] = {}
        while True:
            document = self.get(path, **parameters, **cursor)
            pages.append(document[member])
            if document["next_cursor"] is None:
                return pages
            cursor = {"cursor": document["next_cursor"]}

    async def _send(self, method: str, path: str, request: dict[str, Any]) -> httpx.Response:
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://clew") as client:
            return await client.request(method, path, **request)
