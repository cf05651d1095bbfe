"""Answers that rest on settled traces say up to when traces are settled."""

from __future__ import annotations

import pytest

from clew.analysis.traces.settler import SETTLER_ROW
from clew.analysis.traces.settling import SettlerProgress, Settling, settler_statements
from clew.api.answer import SETTLER_ROW as ROW_IN_ANSWERS
from clew.cli.parts.analysis import steps_of
from clew.storage import Ingest, Store
from support.api_client import ApiClient
from support.reference import rfc3339
from support.settled import Occurrence, insert_definitions, insert_occurrences
from support.traffic import MILLISECOND, SECOND, SERVER, Loader, Process, Span

BEGAN = 1_780_308_000 * SECOND
WINDOW = {"start": "2026-06-01T09:59:00Z", "end": "2026-06-01T10:30:00Z"}
TRACE = f"{1:032x}"
SETTLED_UNTIL = BEGAN // SECOND + 60
STEPS_UNTIL = {"edges": SETTLED_UNTIL - 5, "attributes": SETTLED_UNTIL - 50}
ORDER = {
    "name": "Order",
    "match": {"service": "web", "operation": "GET /"},
    "key": "order.id",
    "steps": ["pay"],
}
PATHS = {
    "/api/v1/transactions": SETTLED_UNTIL,
    "/api/v1/transactions/order": SETTLED_UNTIL,
    "/api/v1/transactions/order/instances": SETTLED_UNTIL,
    "/api/v1/transactions/order/instances/o1": SETTLED_UNTIL,
    "/api/v1/transactions/order/funnel": SETTLED_UNTIL,
    "/api/v1/compare": SETTLED_UNTIL,
    "/api/v1/services/map": STEPS_UNTIL["edges"],
    "/api/v1/attributes": STEPS_UNTIL["attributes"],
    "/api/v1/attributes/http.route/values": STEPS_UNTIL["attributes"],
}


@pytest.fixture
def api(store: Store, ingest: Ingest, tmp_path: object) -> ApiClient:
    span = Span(
        TRACE, f"{1:016x}", "", Process("web", "web-1"), "GET /", SERVER,
        BEGAN, BEGAN + MILLISECOND,
    )  # fmt: skip
    Loader(ingest, tmp_path).spans([span])  # type: ignore[arg-type]
    occurrence = Occurrence("order", "o1", BEGAN, MILLISECOND, (TRACE,), end=BEGAN + MILLISECOND)
    insert_occurrences(store, [occurrence])
    insert_definitions(store, ORDER)
    return ApiClient(store)


def _parameters(path: str) -> dict[str, str]:
    return WINDOW | ({"slow": "true"} if path.endswith("compare") else {})


def test_the_answers_know_the_settlers_name() -> None:
    assert ROW_IN_ANSWERS == SETTLER_ROW


def test_answers_say_what_was_settled_when_they_were_read(store: Store, api: ApiClient) -> None:
    for path in PATHS:
        assert api.get(path, **_parameters(path))["settled_until"] is None
    statements = settler_statements(store)
    names = {step.name for step in steps_of(store, statements)}
    settling = Settling(store, statements)
    for lag in (30, 0):  # the newest row counts
        settling.save_progress(
            {
                name: SettlerProgress("me", 0.0, until - lag)
                for name, until in {SETTLER_ROW: SETTLED_UNTIL, **STEPS_UNTIL}.items()
            }
        )
    assert names >= STEPS_UNTIL.keys()
    for path, until in PATHS.items():
        assert api.get(path, **_parameters(path))["settled_until"] == rfc3339(until * SECOND), path


def test_answers_from_spans_alone_do_not_say_it(api: ApiClient) -> None:
    for path in ("/api/v1/traces", "/api/v1/logs", "/api/v1/services"):
        assert "settled_until" not in api.get(path, **WINDOW)
