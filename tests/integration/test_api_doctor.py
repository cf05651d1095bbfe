"""GET /api/v1/doctor: every check finds its fault in a store, and none in another."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clew.api import create_app
from clew.api.doctor_checks import CHECKS, secret_keys
from clew.storage import Ingest, LedgerRow, Limits, Reader, Store
from clew.storage.ledger import PENDING, RECEIVED, write_rows
from support.api_client import ApiClient, received
from support.traffic import CLIENT, MINUTE, SECOND, SERVER, Loader, Log, Point, Process, Span

WEB, DB = Process("web", "1"), Process("worker", "1")


def _spans(now: int, number: int, **fields: Any) -> list[Span]:
    """Requests of web, each with a call."""
    spans = []
    for index in range(number):
        trace, start = f"{index + 1:032x}", now - 5 * MINUTE + index
        root = Span(trace, f"{2 * index + 1:016x}", "", WEB, "GET /", SERVER, start, start + 900)
        values = {"attributes": {"url.path": "/"}} | fields
        call = Span(
            trace, f"{2 * index + 2:016x}", root.id, WEB, "GET", CLIENT, start, start + 9, **values
        )
        spans += [root, call]
    return spans


def _logs(now: int, number: int, trace: str, **fields: Any) -> list[Log]:
    values = {"severity": "INFO", "body": "a request"} | fields
    return [Log(now - 5 * MINUTE + i, WEB, trace=trace, **values) for i in range(number)]


def _verdicts(store: Store, pending: list[LedgerRow] | None = None, **parameters: Any) -> Any:
    api = ApiClient(store)
    reader = Reader(store, parameters.pop("limits", None))
    api.app = create_app(reader, reader.answers, received(*pending or ()))
    document = api.get("/api/v1/doctor", **parameters)
    return {check["check"]: check for check in document["checks"]}


def test_nothing_is_wrong_with_an_empty_store(store: Store) -> None:
    verdicts = _verdicts(store)
    assert list(verdicts) == [check.name for check in CHECKS]
    assert {check["status"] for check in verdicts.values()} <= {"ok", "none"}
    assert not [check for check in verdicts.values() if check["mend"]]


def test_nothing_is_wrong_with_telemetry_in_order(store: Store, tmp_path: Path) -> None:
    now = time.time_ns()
    loader = Loader(Ingest(store), tmp_path)
    spans = _spans(
        now,
        30,
        attributes={"url.full": "http://b/?q=1&token=REDACTED", "db.query.text": "SELECT 7"},
    )
    loader.spans(spans)
    loader.logs(_logs(now, 150, spans[0].trace))
    verdicts = _verdicts(store)
    wrong = {
        name: check for name, check in verdicts.items() if check["status"] not in ("ok", "none")
    }
    assert wrong == {}
    for name in ("orphans", "callers", "log records", "span names", "secrets", "clocks"):
        assert verdicts[name]["status"] == "ok"


@pytest.fixture(scope="module")
def faulty(
    emptied: Callable[[], Store], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """The verdicts on a store with a fault for every check but `settling`."""
    store, now = emptied(), time.time_ns()
    loader = Loader(Ingest(store), tmp_path_factory.mktemp("segments"))
    trace = "f" * 32
    secret = {"url.full": "http://b/?token=abcdef123456", "customer.id": "7"}
    spans = _spans(now, 10, attributes=secret)
    start = now - 5 * MINUTE
    spans += [
        Span(trace, "a" * 16, "b" * 16, WEB, "GET", CLIENT, start, start + 9),
        Span("e" * 32, "c" * 16, "d" * 16, DB, "job", SERVER, start, start + 9),
        *(
            Span(f"{900 + i:032x}", f"{i + 1:016x}", "", DB, f"GET /items/{1000 + i}", SERVER, start, start + 9)
            for i in range(25)
        ),
        Span("d" * 32, "1" * 16, "", Process("fast clock", "1"), "GET", SERVER, now + 3600 * SECOND, now + 3601 * SECOND),
    ]  # fmt: skip
    loader.spans(spans)
    password = "connect with password=hunter2hunter2"
    loader.logs(_logs(now, 190, "") + _logs(now, 1, trace, body=password))
    loader.logs([Log(start, Process("shipped", "1"), "INFO", "a line")])
    loader.points(
        Point("cart.size", "1", "gauge", WEB, start, 1.0, {"user.id": f"u{i}", "kind": "a"})
        for i in range(1500)
    )
    write_rows(
        store,
        [
            LedgerRow(time.time() - 60, "traces", 1, "", RECEIVED, 7),
            LedgerRow(time.time() - 60, "traces", 1, "", "no trace id", 7),
        ],
    )
    with store.client() as client:
        client.command(
            "INSERT INTO otel.clew_attributes (Hour, Source, Key, ServiceName, Value, Count) SELECT "
            "toStartOfHour(now()), 'span', concat('user.', toString(number)), 'web', '', 1 FROM numbers(600)"
        )
    pending = [
        LedgerRow(time.time() - 120, "logs", 9, "", PENDING, 200_000),
        LedgerRow(time.time(), "logs", 10, "", PENDING, 900_000),
    ]
    verdicts: dict[str, Any] = _verdicts(store, pending)
    return verdicts


FAULTS = {
    "pending": ("200000 items", "disk", []),
    "rejected": ("not stored: 7 no trace id", "clew replay --list", []),
    "clocks": ("that of fast clock by ", "NTP", ["fast clock"]),
    "orphans": ("1 of 21 spans of web", "SIGTERM", ["web"]),
    "services": ("no span comes from shipped", "log shipper", ["shipped"]),
    "log records": ("190 of 191 records of web", "clew run", ["web"]),
    "span names": ("names of spans of worker, such as GET /items/", "the route", ["worker"]),
    "metrics": ("cart.size of web has 1", "leave the attribute out", ["web"]),
    "attribute keys": ("600 keys of span attributes of web, such as user.", "value", ["web"]),
    "secrets": ("span attribute url.full of web (", "clew run", ["web"]),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_said_with_its_mend(faulty: dict[str, Any], name: str) -> None:
    text, mend, services = FAULTS[name]
    check = faulty[name]
    assert check["status"] == "warn"
    assert text in check["text"]
    assert mend in check["mend"]
    assert check["services"] == services


def test_what_a_secret_is_is_not_said(faulty: dict[str, Any]) -> None:
    text = faulty["secrets"]["text"]
    assert "log body of web (1)" in text
    assert "hunter2" not in text
    assert "abcdef" not in text
    assert "customer.id" not in text


def test_the_attribute_with_the_most_values_is_named(faulty: dict[str, Any]) -> None:
    assert faulty["metrics"]["text"].endswith("has user.id")


def test_callers_that_keep_their_spans_are_said(store: Store, tmp_path: Path) -> None:
    start = time.time_ns() - 5 * MINUTE
    spans = [
        Span(f"{i + 1:032x}", f"{i + 1:016x}", "b" * 16, WEB, "GET /", SERVER, start, start + 9)
        for i in range(4)
    ]
    Loader(Ingest(store), tmp_path).spans(spans)
    check = _verdicts(store)["callers"]
    assert check["status"] == "warn"
    assert "4 of 4 requests of web" in check["text"]


def test_traces_that_are_not_settled_are_said(store: Store, tmp_path: Path) -> None:
    Loader(Ingest(store), tmp_path).spans(
        [
            Span(
                "a" * 32,
                "b" * 16,
                "",
                WEB,
                "GET",
                SERVER,
                time.time_ns() - 20 * MINUTE,
                time.time_ns(),
            )
        ]
    )
    with store.client() as client:
        client.command(
            "INSERT INTO otel.clew_settler (Name, SettledUntil) VALUES ('pass', now64(9) - INTERVAL 1 HOUR)"
        )
    check = _verdicts(store)["settling"]
    assert check["status"] == "warn"
    assert "settled up to 60 min ago" in check["text"]


def test_the_environment_and_the_window_are_kept(store: Store, tmp_path: Path) -> None:
    start = time.time_ns() - 90 * MINUTE
    Loader(Ingest(store), tmp_path).spans(
        [Span("a" * 32, "b" * 16, "c" * 16, WEB, "GET", CLIENT, start, start + 9)]
    )
    assert _verdicts(store)["orphans"]["status"] == "none"
    older = {"start": "-2h", "end": "-1h"}
    assert _verdicts(store, **older)["orphans"]["status"] == "warn"
    assert _verdicts(store, **older, environment="other")["orphans"]["status"] == "none"


def test_what_exceeds_a_limit_is_not_checked_and_the_rest_is(store: Store, tmp_path: Path) -> None:
    Loader(Ingest(store), tmp_path).spans(_spans(time.time_ns(), 20))
    verdicts = _verdicts(store, limits=Limits(rows=3))
    assert verdicts["secrets"]["status"] == "none"
    assert "not checked" in verdicts["secrets"]["text"]
    assert verdicts["orphans"]["status"] == "ok"


def test_explain_lists_the_statements(store: Store) -> None:
    statements = ApiClient(store).get("/api/v1/doctor", explain="true")["sql"]
    assert any("mapApply" in statement for statement in statements)
    assert not any("{start:" in statement for statement in statements)


@pytest.mark.parametrize(
    ("attributes", "keys"),
    [
        ({"http.request.header.authorization": "Bearer abcdefghijk"}, ["http.request.header.authorization"]),
        ({"order": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abcdef"}, ["order"]),
        ({"gen_ai.token": "17", "password": "REDACTED", "db.query.text": "SELECT 'a'"}, []),
        ({"url.full": "http://b/?page=2", "order.id": "1234567890123456"}, []),
    ],
)  # fmt: skip
def test_secrets_are_told_from_other_values(attributes: dict[str, str], keys: list[str]) -> None:
    assert secret_keys(attributes) == keys
