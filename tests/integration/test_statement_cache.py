"""The API answers from its cache only what the tables would answer again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from clew.analysis.queries import SETTLE_EDGES
from clew.api import create_app
from clew.storage import SIGNALS, Ingest, Reader, Reading, Store, queries
from clew.storage.changes import StatementCache
from clew.storage.statements import Statements
from support.api_client import ApiClient
from support.traffic import MILLISECOND, SECOND, SERVER, Loader, Process, Span

BEGAN = 1_780_308_000 * SECOND
WINDOW = {"start": "2026-06-01T09:59:00Z", "end": "2026-06-01T10:30:00Z"}
PATH = "/api/v1/transactions"


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the statements that the engine ran."""
    ran: list[str] = []
    read = Reading._read_now

    def noted(self: Reading, query: str, *arguments: Any) -> bytes:
        ran.append(query)
        return read(self, query, *arguments)

    monkeypatch.setattr(Reading, "_read_now", noted)
    return ran


def span(number: int) -> Span:
    start = BEGAN + number * SECOND
    return Span(
        f"{number:032x}", f"{number:016x}", "", Process("web", "web-1"), "GET /", SERVER,
        start, start + MILLISECOND,
    )  # fmt: skip


def test_an_answer_is_read_again_once_rows_have_come(
    store: Store, ingest: Ingest, tmp_path: Path, statements: list[str]
) -> None:
    client, loader = ApiClient(store), Loader(ingest, tmp_path)
    reader = Reader(store, cache=StatementCache(store.changes))
    client.app = create_app(reader, reader.answers)
    loader.spans([span(1)])

    first = client.get(PATH, **WINDOW)
    assert [each["count"] for each in first["transactions"]] == [1]
    statements.clear()
    assert client.get(PATH, **WINDOW) == first
    assert not statements
    assert client.get(PATH, explain=True, **WINDOW)["sql"]  # they can be run again all the same
    assert not statements
    headers = {"cache-control": "no-cache"}
    assert client.send("GET", PATH, params=WINDOW, headers=headers).json() == first
    assert statements

    ids = {"trace_ids": [f"{number:032x}" for number in (1, 2)]}
    columns = reader.begin().columns(queries.TRACE_EXTENTS, **ids)
    assert reader.begin().columns(queries.TRACE_EXTENTS, **ids) is columns
    loader.spans([span(2)])
    assert [each["count"] for each in client.get(PATH, **WINDOW)["transactions"]] == [2]
    assert len(reader.begin().columns(queries.TRACE_EXTENTS, **ids)["trace_id"]) == 2


def test_what_writes_to_a_table_says_so(store: Store, ingest: Ingest, tmp_path: Path) -> None:
    loader = Loader(ingest, tmp_path)

    def versions() -> tuple[object, object]:
        return store.changes.version("otel.clew_roots"), store.changes.version("otel.clew_edges_1m")

    before = versions()
    loader.spans([span(1)])
    loaded = versions()
    assert loaded[0] != before[0]
    assert loaded[1] == before[1]
    minute = {"start": "2026-06-01 10:00:00", "end": "2026-06-01 11:00:00"}
    Statements(store).insert(
        "clew_edges_1m", SETTLE_EDGES, minutes=["2026-06-01 10:00:00"], version=1, **minute
    )
    computed = versions()
    assert computed[0] == loaded[0]
    assert computed[1] != loaded[1]
    ingest.reload(SIGNALS["traces"], tmp_path / "1.sealed", 1, 1, BEGAN / SECOND)
    assert versions()[0] != computed[0]
    assert versions()[1] != computed[1]
