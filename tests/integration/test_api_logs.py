"""Search of log records, compared with plain Python over the records that were sent."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from clew.storage import Ingest, Store
from support.api_client import ApiClient
from support.reference import rfc3339
from support.traffic import SECOND, SEVERITIES, Loader, Log, Process, as_stored

BEGAN = 1_780_308_000 * SECOND
END = BEGAN + 900 * SECOND
WEB = Process("web", "web-1")
ORDERS = Process("orders", "orders-1", environment="staging")
TRACE = "5" * 32
LEVELS = {
    "DEBUG": "debug", "INFO": "info", "WARN": "warn", "ERROR": "error",
    "Warning": "warn", "notice": "info", "audit": "", "": "",
}  # fmt: skip
BODIES = (
    "order {n} confirmed",
    "Order {n} refused: card declined",
    "GET /items/{n} took 12 ms",
    "it's {{odd}}; DROP TABLE x -- \\",
    "naïve café № {n}",
    "",
)


@dataclass(frozen=True)
class Dataset:
    api: ApiClient
    logs: list[Log]


@pytest.fixture(scope="module")
def dataset(emptied: Callable[[], Store], tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    store = emptied()
    choice = random.Random(11)
    logs = [
        Log(
            # Coarse, so that many records have the same time.
            BEGAN + choice.randrange(850) * SECOND,
            choice.choice((WEB, ORDERS)),
            choice.choice([*SEVERITIES, "", "Warning", "notice", "audit"]),
            choice.choice(BODIES).format(n=number),
            {"user.id": f"u{choice.randint(1, 5)}", "total": choice.choice((5, 12.5, "none"))},
            trace=TRACE if choice.random() < 0.1 else choice.choice(("", f"{number + 1:032x}")),
        )
        for number in range(400)
    ]
    loader = Loader(Ingest(store), tmp_path_factory.mktemp("segments"))
    for part in range(3):
        loader.logs(logs[part::3])
    return Dataset(ApiClient(store), logs)


def _parameters(**parameters: Any) -> dict[str, Any]:
    return {"start": rfc3339(BEGAN), "end": rfc3339(END), **parameters}


def _words(text: str) -> set[str]:
    return set(re.findall(r"[^\W_]+", text.lower()))


SEARCHES: dict[str, tuple[dict[str, Any], Callable[[Log], bool]]] = {
    "everything": ({}, lambda log: True),
    "trace": ({"trace_id": TRACE}, lambda log: log.trace == TRACE),
    "service": ({"service": "orders"}, lambda log: log.process is ORDERS),
    "environment": ({"environment": "staging"}, lambda log: log.process is ORDERS),
    "severity": ({"severity": "error"}, lambda log: log.severity == "ERROR"),
    "severity by number and by text": (
        {"severity": "WARN"},
        lambda log: log.severity in ("WARN", "Warning"),
    ),
    "severity by its other name": (
        {"severity": "warning"},
        lambda log: log.severity in ("WARN", "Warning"),
    ),
    "severity by a number of its band": (
        {"severity": "11"},
        lambda log: log.severity in ("INFO", "notice"),
    ),
    "severity by syslog's name": (
        {"severity": "Notice"},
        lambda log: log.severity in ("INFO", "notice"),
    ),
    "severity that is no level": ({"severity": "AUDIT"}, lambda log: log.severity == "audit"),
    "a word": ({"query": "declined"}, lambda log: "declined" in _words(log.body)),
    "a word in another case": ({"query": "ORDER"}, lambda log: "order" in _words(log.body)),
    "words": ({"query": "card order"}, lambda log: {"card", "order"} <= _words(log.body)),
    "words with marks between": (
        {"query": "refused: card"},
        lambda log: {"refused", "card"} <= _words(log.body),
    ),
    "a part of a word": ({"query": "declin"}, lambda log: False),
    "a number": ({"query": "12"}, lambda log: "12" in _words(log.body)),
    "a word that is not ASCII": ({"query": "café"}, lambda log: "café" in _words(log.body)),
    "a phrase": ({"query": '"card declined"'}, lambda log: "card declined" in log.body),
    "a phrase with marks": (
        {"query": '"refused: CARD" order'},
        lambda log: "refused: card" in log.body,
    ),
    "a phrase in another order": ({"query": '"declined card"'}, lambda log: False),
    "a phrase that ends within a word": ({"query": '"card declin"'}, lambda log: False),
    "without a word": ({"query": "-declined"}, lambda log: "declined" not in _words(log.body)),
    "a word without others": (
        {"query": "order -card -12"},
        lambda log: "order" in _words(log.body) and not {"card", "12"} & _words(log.body),
    ),
    "without a phrase": (
        {"query": 'order -"card declined"'},
        lambda log: "order" in _words(log.body) and "card declined" not in log.body,
    ),
    "a quote that does not end": (
        {"query": 'order "refused'},
        lambda log: {"order", "refused"} <= _words(log.body),
    ),
    "only marks": ({"query": "': -- {}"}, lambda log: True),
    "attribute": ({"attr": "user.id=u3"}, lambda log: log.attributes["user.id"] == "u3"),
    "attribute is another": (
        {"attr": "user.id!=u3"},
        lambda log: log.attributes["user.id"] != "u3",
    ),
    "attribute of the resource": (
        {"attr": "service.instance.id=web-1"},
        lambda log: log.process is WEB,
    ),
    "attribute is more": ({"attr": "total>5"}, lambda log: log.attributes["total"] == 12.5),
    "several": (
        {"attr": ["user.id~u", "total<6"], "service": "web", "query": "order"},
        lambda log: (
            log.process is WEB and log.attributes["total"] == 5 and "order" in _words(log.body)
        ),
    ),
}


def _key(log: Log) -> tuple[Any, ...]:
    return (
        rfc3339(log.time), log.severity, log.process.service, log.body,
        tuple(sorted(as_stored(log.attributes).items())), log.trace,
    )  # fmt: skip


def _shown_key(log: dict[str, Any]) -> tuple[Any, ...]:
    return (
        log["time"], log["severity"], log["service"], log["body"],
        tuple(sorted(log["attributes"].items())), log["trace_id"],
    )  # fmt: skip


@pytest.mark.parametrize(("parameters", "matches"), SEARCHES.values(), ids=SEARCHES.keys())
def test_a_search_returns_exactly_the_matching_records_newest_first(
    dataset: Dataset, parameters: dict[str, Any], matches: Callable[[Log], bool]
) -> None:
    answer = dataset.api.get("/api/v1/logs", **_parameters(limit=1000, **parameters))
    expected = [log for log in dataset.logs if matches(log)]
    assert sorted(map(_shown_key, answer["logs"])) == sorted(map(_key, expected))
    times = [log["time"] for log in answer["logs"]]
    assert times == sorted(times, reverse=True)
    assert answer["next_cursor"] is None


@pytest.mark.parametrize("limit", [1, 9, 50])
@pytest.mark.parametrize("name", ["everything", "words", "service"])
def test_pages_together_are_the_whole_result(dataset: Dataset, name: str, limit: int) -> None:
    parameters, _ = SEARCHES[name]
    end = rfc3339(BEGAN + 90 * SECOND) if limit == 1 else rfc3339(END)
    full_list = dataset.api.get(
        "/api/v1/logs", **_parameters(**parameters) | {"end": end, "limit": 1000}
    )["logs"]
    pages = dataset.api.pages(
        "/api/v1/logs", "logs", **_parameters(**parameters) | {"end": end, "limit": limit}
    )
    assert list(itertools.chain(*pages)) == full_list
    assert len(pages) == max(1, -(-len(full_list) // limit))


@pytest.mark.parametrize("name", ["everything", "words"])
def test_the_oldest_may_come_first(dataset: Dataset, name: str) -> None:
    parameters = _parameters(**SEARCHES[name][0]) | {"limit": 1000}
    newest_first = dataset.api.get("/api/v1/logs", **parameters)["logs"]
    assert dataset.api.get("/api/v1/logs", **parameters, sort="time")["logs"] == newest_first
    oldest_first = dataset.api.get("/api/v1/logs", **parameters, sort="-time")["logs"]
    assert oldest_first == newest_first[::-1]
    pages = dataset.api.pages("/api/v1/logs", "logs", **parameters | {"limit": 9}, sort="-time")
    assert list(itertools.chain(*pages)) == oldest_first
    assert dataset.api.problem("/api/v1/logs", sort="severity")["status"] == 400


def test_all_members_of_a_record(dataset: Dataset) -> None:
    (log,) = (
        log for log in dataset.logs if log.body == "order 0 confirmed" or log is dataset.logs[0]
    )
    (shown,) = (
        record
        for record in dataset.api.get("/api/v1/logs", **_parameters(limit=1000))["logs"]
        if _shown_key(record) == _key(log)
    )
    assert shown == {
        "time": rfc3339(log.time),
        "severity": log.severity,
        "severity_number": SEVERITIES.get(log.severity, 0),
        "level": LEVELS[log.severity],
        "event_name": "",
        "service": log.process.service,
        "body": log.body,
        "attributes": as_stored(log.attributes),
        "resource": as_stored(log.process.resource),
        "trace_id": log.trace,
        "span_id": "",
    }


def test_equal_records_are_all_returned(
    store: Store, ingest: Ingest, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A service with a coarse clock may write the same line twice at the same time."""
    loader = Loader(ingest, tmp_path_factory.mktemp("segments"))
    loader.logs([Log(BEGAN, WEB, "INFO", "again")] * 5)
    pages = ApiClient(store).pages("/api/v1/logs", "logs", **_parameters(limit=2))
    assert [len(page) for page in pages] == [2, 2, 1]
