"""Asking the API in the same process, over the real engine."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx

from clew.api import create_app
from clew.storage import Limits, Reader, Store


class Api:
    """Requests, answered by the application itself."""

    def __init__(self, store: Store, limits: Limits | None = None) -> None:
        reader = Reader(store, limits)
        self.app = create_app(reader, reader.answers)

    def response(self, path: str, **parameters: Any) -> httpx.Response:
        return self.send("GET", path, params=parameters)

    def send(self, method: str, path: str, **request: Any) -> httpx.Response:
        return asyncio.run(self._ask(method, path, request))

    def get(self, path: str, **parameters: Any) -> Any:
        """The document of a success."""
        response = self.response(path, **parameters)
        assert response.status_code == 200, response.text
        return response.json()

    def problem(self, path: str, **parameters: Any) -> dict[str, Any]:
        """The problem document of a refusal, whose form is checked."""
        response = self.response(path, **parameters)
        assert response.headers["content-type"] == "application/problem+json", response.text
        document: dict[str, Any] = response.json()
        assert document["status"] == response.status_code
        assert document["type"]
        assert document["title"]
        assert document["detail"]
        return document

    def pages(self, path: str, member: str, **parameters: Any) -> list[list[Any]]:
        """What every page has in `member`, following next_cursor to the end."""
        pages = []
        cursor: dict[str, str] = {}
        while True:
            answer = self.get(path, **parameters, **cursor)
            pages.append(answer[member])
            if answer["next_cursor"] is None:
                return pages
            cursor = {"cursor": answer["next_cursor"]}

    async def _ask(self, method: str, path: str, request: dict[str, Any]) -> httpx.Response:
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://clew") as client:
            return await client.request(method, path, **request)
