"""Diagnosis over the API: services with a known change are named, with evidence, and quiet windows
are not."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest

from clew.analysis.alerts.notes import Notes
from clew.analysis.alerts.records import AlertRecord, AlertRecords
from clew.analysis.alerts.states import AlertState, State
from clew.analysis.alerts.verdicts import Verdict
from clew.analysis.traces.settling import Settling, settler_statements
from clew.analysis.watching.diagnoser import Diagnoser
from clew.cli.client import Client
from clew.cli.diagnose import show
from clew.cli.settings import UsageError
from clew.storage import Ingest, Store
from support.api_client import ApiClient
from support.loading import settle
from support.reference import rfc3339
from support.traffic import (
    CLIENT,
    ERROR,
    INTERNAL,
    MILLISECOND,
    MINUTE,
    SECOND,
    SERVER,
    UNSET,
    Event,
    Loader,
    Log,
    Point,
    Process,
    Span,
)

BEGAN = 1_780_308_000 * SECOND
TRACES = 60  # of an hour without a change, and of each change
HOUR = 60 * MINUTE
WEB, ORDERS, BANK = (
    Process("web", "web-1"),
    Process("orders", "orders-1"),
    Process("bank", "bank-1"),
)
NEW_ORDERS = Process("orders", "orders-2", version="2.0")
# What is wrong in the hour of this number; the hour 0 has nothing wrong, and hour 1 neither.
CHANGES = ("usual", "quiet", "own", "version", "exception", "missing line", "process")


KIOSK = Process("kiosk", "kiosk-1")
# When the history of KIOSK begins, six minutes of it: without `start`, the time before now counts.
SHORT = int(time.time()) // 60 * MINUTE - 6 * MINUTE


@dataclass(frozen=True)
class Answers:
    store: Store
    api: ApiClient

    def ask(self, change: str, **parameters: Any) -> dict[str, Any]:
        start = BEGAN + CHANGES.index(change) * HOUR
        answer: dict[str, Any] = self.api.get(
            "/api/v1/diagnose",
            start=rfc3339(start),
            end=rfc3339(start + HOUR),
            baseline_start=rfc3339(BEGAN),
            baseline_end=rfc3339(BEGAN + HOUR),
            **parameters,
        )
        return answer


@pytest.fixture(scope="module")
def answers(emptied: Callable[[], Store], tmp_path_factory: pytest.TempPathFactory) -> Answers:
    store = emptied()
    loader = Loader(Ingest(store), tmp_path_factory.mktemp("segments"))
    traffic = [item for number in range(len(CHANGES)) for item in _hour(number)]
    loader.spans(item for item in traffic if isinstance(item, Span))
    loader.spans(_short_history())
    loader.logs(item for item in traffic if isinstance(item, Log))
    loader.points(item for item in traffic if isinstance(item, Point))
    settle(Settling(store))
    return Answers(store, ApiClient(store))


def _short_history() -> Iterator[Span]:
    """A trace every two seconds, slower from the fourth minute on."""
    choice = random.Random("short")
    for number in range(180):
        start = SHORT + 2 * number * SECOND
        end = start + int(choice.uniform(8, 12) * (20 if number >= 90 else 1) * MILLISECOND)
        ids = f"{0xABC:04x}{number:028x}", f"{0xABC:04x}{number:012x}"
        yield Span(*ids, "", KIOSK, "GET /", SERVER, start, end)


def _hour(number: int) -> Iterator[Span | Log | Point]:
    choice = random.Random(number)
    change = CHANGES[number]
    start = BEGAN + number * HOUR
    for minute in range(0, 60, 5):
        load = 0.9 if change == "process" and minute > 30 else choice.uniform(0.1, 0.15)
        time = start + minute * MINUTE
        yield Point("process.cpu.utilization", "1", "gauge", ORDERS, time, load)
    for trace in range(TRACES):
        yield from _trace(
            choice, start + trace * MINUTE, f"{number + 1:04x}{trace + 1:028x}", change
        )


def _trace(
    choice: random.Random, start: int, trace: str, change: str
) -> Iterator[Span | Log | Point]:
    """web calls orders, which works and calls the bank."""
    is_struck = choice.random() < 0.8
    orders = NEW_ORDERS if change == "version" and is_struck else ORDERS
    own = choice.uniform(8, 12) + (80 if change == "own" or orders is NEW_ORDERS else 0)
    has_failed = change == "exception" and is_struck
    ids = [f"{trace[-12:]}{place:04x}" for place in range(5)]
    bank = choice.uniform(18, 22)
    ends = [int((total + own + bank) * MILLISECOND) for total in (6, 4, 2)]

    def span(
        place: int, parent: str, process: Process, name: str, kind: int, begin: float, end: int
    ) -> Span:
        begins = start + int(begin * MILLISECOND)
        error = Event(begins, "exception", {
            "exception.type": "Refused", "exception.message": f"order {trace[:8]}",
            "exception.stacktrace": 'Traceback\n  File "/app/orders.py", line 7, in place\n',
        })  # fmt: skip
        fails = has_failed and place == 2
        return Span(
            trace, ids[place], parent, process, name, kind, begins, start + end,
            ERROR if has_failed and place < 3 else UNSET, events=(error,) if fails else (),
        )  # fmt: skip

    yield span(0, "", WEB, "POST /checkout", SERVER, 0, ends[0])
    yield span(1, ids[0], WEB, "POST", CLIENT, 1, ends[1])
    yield span(2, ids[1], orders, "POST /orders", SERVER, 2, ends[2])
    yield span(3, ids[2], orders, "reserve", INTERNAL, 3, 4 * MILLISECOND)
    charged = start + int((1 + own) * MILLISECOND)
    yield Span(
        trace, ids[4], ids[2], orders, "POST", CLIENT, charged, charged + int(bank * MILLISECOND),
        attributes={"server.address": "bank.example"},
    )  # fmt: skip
    for line, text in ((10, "order received"), (20, f"order {trace[:6]} written")):
        if not (change == "missing line" and line == 20):
            place = {"code.function.name": "orders.place", "code.line.number": line}
            yield Log(charged, orders, "INFO", text, place, trace, ids[2])


def test_a_window_without_a_change_has_no_cause(answers: Answers) -> None:
    answer = answers.ask("quiet")
    assert answer["causes"] == []
    assert answer["none_because"].startswith("nothing differs by more than chance")
    assert answer["impact"]["failed"]["lower"] <= 0 <= answer["impact"]["failed"]["upper"]


def test_a_service_that_takes_longer_itself(answers: Answers) -> None:
    answer = answers.ask("own")
    first = answer["causes"][0]
    assert (first["service"], first["kind"], first["operation"]) == (
        "orders",
        "own",
        "POST /orders",
    )
    assert 60 < first["evidence"]["time"]["changes"][0]["extra_ms"] < 90
    assert answer["none_because"] is None
    assert len(first["examples"]) == 3
    assert answer["impact"]["apdex"]["before"] == 1


def test_a_change_is_found_in_a_history_of_six_minutes(answers: Answers) -> None:
    end = rfc3339(SHORT + 6 * MINUTE)
    answer = answers.api.get("/api/v1/diagnose", service="kiosk", end=end)
    assert answer["window"]["start"] == answer["onset"] == rfc3339(SHORT + 3 * MINUTE)
    assert answer["window_because"].startswith("since then traces are slower")
    assert [(cause["service"], cause["kind"]) for cause in answer["causes"]] == [("kiosk", "own")]
    early = rfc3339(SHORT + 3 * MINUTE)
    answer = answers.api.get("/api/v1/diagnose", service="kiosk", end=early)
    assert answer["window_because"].startswith("no time is found")
    past = rfc3339(SHORT - 30 * MINUTE - 2 * HOUR)  # a day without traces, and no 400
    answer = answers.api.get("/api/v1/diagnose", service="kiosk", end=past)
    assert (answer["window"]["end"], answer["causes"]) == (past, [])
    few = rfc3339(SHORT + MINUTE)
    answer = answers.api.get("/api/v1/diagnose", service="kiosk", end=few)
    assert "too few to find" in answer["window_because"]


def test_an_alert_that_fires_is_diagnosed_once(answers: Answers) -> None:
    began = SHORT / SECOND + 240
    verdict = Verdict("slow", {"service": "kiosk"}, began, True, window=60.0)
    record = AlertRecord(verdict, "page", AlertState(State.FIRING, began, 1, began))
    nothing = replace(record, verdict=replace(verdict, labels={"metric": "disk"}))
    statements = settler_statements(answers.store)
    AlertRecords(statements).put([record], 1)
    found = threading.Event()
    diagnoser = Diagnoser(statements, Notes(statements), lambda: (), lambda: began + 120, found.set)
    diagnoser.ask(nothing)
    assert not diagnoser.expects(nothing.id, 1)
    diagnoser.ask(record)
    assert diagnoser.expects(record.id, 1)
    diagnoser.start()
    assert found.wait(60)
    diagnoser.close(5)
    assert not diagnoser.expects(record.id, 1)
    sentences = diagnoser.sentences()[record.id, 1]
    cause = sentences["cause"]
    assert cause.startswith("kiosk GET / takes longer: ")
    assert " min of waiting" in sentences["impact"]
    view = answers.api.get(f"/api/v1/alerts/{record.id}")
    assert view["cause"] == cause
    assert view["notes"] == []


def test_an_alert_without_a_cause_is_diagnosed_again_and_one_after_the_other(
    answers: Answers,
) -> None:
    began = SHORT / SECOND + 180
    verdict = Verdict("early", {"service": "kiosk", "operation": "GET /"}, began, True, window=60.0)
    first = AlertRecord(verdict, "page", AlertState(State.FIRING, began, 1, began))
    other = replace(first, verdict=replace(verdict, rule="early too"))
    statements = settler_statements(answers.store)
    now, done = [began - 30], threading.Semaphore(0)  # the window has nothing yet
    diagnoser = Diagnoser(
        statements, Notes(statements), lambda: (), lambda: now[0], lambda: done.release()
    )
    for record in (first, other):
        diagnoser.ask(record)
    diagnoser.start()
    for _ in range(2):  # the second one when the rest after the first is over
        assert done.acquire(timeout=60)
    assert not diagnoser.expects(first.id, 1)
    assert not diagnoser.sentences().keys() & {(first.id, 1), (other.id, 1)}
    now[0] = began + 120
    diagnoser.ask(replace(first, verdict=replace(verdict, rule="wakes it")))
    for _ in range(3):
        assert done.acquire(timeout=60)
    diagnoser.close(5)
    assert diagnoser.sentences().keys() >= {(first.id, 1), (other.id, 1)}


def test_an_alert_before_which_there_was_nothing_asks_about_the_last_change(
    answers: Answers,
) -> None:
    began = SHORT / SECOND + 60
    verdict = Verdict("early", {"service": "kiosk"}, began, True, window=60.0)
    record = AlertRecord(verdict, "page", AlertState(State.FIRING, began, 1, began))
    AlertRecords(settler_statements(answers.store)).put([record], 1)
    answer = answers.api.get("/api/v1/diagnose", alert=record.id, end=rfc3339(SHORT + 6 * MINUTE))
    assert answer["window"]["start"] == rfc3339(SHORT + 3 * MINUTE)
    assert "the alert's own time" in answer["window_because"]
    assert [cause["service"] for cause in answer["causes"]] == ["kiosk"]


def test_a_version_that_takes_longer(answers: Answers) -> None:
    first = answers.ask("version")["causes"][0]
    assert (first["service"], first["kind"]) == ("orders", "version")
    assert [value["value"] for value in first["versions"]] == ["2.0"]
    assert first["versions"][0]["is_new"]
    assert "orders 2.0" in [event["name"] for event in first["events"]]


def test_an_exception_names_its_place(answers: Answers) -> None:
    answer = answers.ask("exception")
    first = answer["causes"][0]
    assert (first["service"], first["kind"]) == ("orders", "code")
    assert first["exceptions"][0]["text"] == "Refused: order #"
    assert first["places"][0]["place"] == "place (/app/orders.py:7)"
    failed = answer["impact"]["failed"]
    assert failed["lower"] < failed["value"] < failed["upper"]
    assert failed["lower"] > 30


def test_a_line_that_always_came_names_the_place(answers: Answers) -> None:
    first = answers.ask("missing line")["causes"][0]
    assert (first["service"], first["kind"]) == ("orders", "missing")
    assert first["places"][0]["place"] == "orders.place#20"
    assert first["places"][0]["came"] == 0


def test_a_process_that_is_loaded(answers: Answers) -> None:
    first = answers.ask("process")["causes"][0]
    assert (first["service"], first["kind"]) == ("orders", "process")
    assert first["evidence"]["process"]["changes"][0]["highest"] == pytest.approx(0.9)


def test_the_statements_of_a_cause_give_its_numbers(answers: Answers) -> None:
    first = answers.ask("own")["causes"][0]
    change = first["evidence"]["time"]["changes"][0]
    with answers.store.client() as client:
        rows = client.query(first["sql"][0]).named_results()
        (row,) = [
            row
            for row in rows
            if (row["service"], row["operation"], row["target"]) == ("orders", "POST /orders", "")
        ]
    assert row["a"][1] == change["calls"] == TRACES
    assert row["a"][2] / row["a"][1] / 1e6 == pytest.approx(change["ms"])


@pytest.mark.parametrize(
    "selected",
    [
        {"service": "orders"},
        {"operation": "POST /orders"},
        {"service": "web", "environment": "prod"},
    ],
)
def test_traces_may_be_selected(answers: Answers, selected: dict[str, str]) -> None:
    assert answers.ask("own", **selected)["causes"][0]["service"] == "orders"


def test_nothing_is_said_of_too_few_traces(answers: Answers) -> None:
    answer = answers.ask("own", service="no such service")
    assert answer["causes"] == []
    assert "no settled traces" in answer["none_because"]
    start = BEGAN + 2 * HOUR
    few = answers.api.get("/api/v1/diagnose", start=rfc3339(start), end=rfc3339(start + 5 * MINUTE))
    assert "at least 20 are needed" in few["none_because"]


def test_at_most_twelve_statements_are_run(answers: Answers) -> None:
    assert len(answers.ask("own", explain=True)["sql"]) <= 12


def test_an_unknown_transaction_or_alert_is_said(answers: Answers) -> None:
    for parameters in ({"transaction": "a" * 16}, {"transaction": "Check"}, {"alert": "b" * 16}):
        assert answers.api.response("/api/v1/diagnose", **parameters).status_code == 404


def test_a_defined_transaction_has_an_id_and_a_name(answers: Answers) -> None:
    path, headers = "/api/v1/definitions", {"content-type": "application/yaml"}
    text = b"transactions: [{name: Web page, match: {service: web}, key: order.id}]"
    assert answers.api.send("PUT", path, content=text, headers=headers).status_code == 200
    by_id, by_name = (answers.ask("own", transaction=text) for text in ("web-page", "Web page"))
    answers.api.send("PUT", path, content=b"transactions: []", headers=headers)
    assert by_id == by_name
    assert by_id["none_because"]


def test_hostile_text_selects_nothing(answers: Answers) -> None:
    for text in ("'; DROP TABLE otel.otel_traces --", "\\", "{x:String}", "🧶"):
        assert answers.ask("own", service=text)["causes"] == []


class InProcessClient(Client):
    """The command's client, to an API in this process."""

    def __init__(self, api: ApiClient) -> None:
        super().__init__("http://api", {})
        object.__setattr__(self, "api", api)

    def send(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        **parameters: str | int,
    ) -> dict[str, Any]:
        api: ApiClient = self.__dict__["api"]
        document: dict[str, Any] = api.get(f"/api/v1/{path}", **parameters)
        return document


def _window(change: str) -> dict[str, str]:
    start = BEGAN + CHANGES.index(change) * HOUR
    times = {"start": start, "end": start + HOUR, "baseline_start": BEGAN}
    return {name: rfc3339(time) for name, time in times.items()} | {
        "baseline_end": rfc3339(BEGAN + HOUR)
    }


def test_the_command_prints_causes_to_read(
    answers: Answers, capsys: pytest.CaptureFixture[str]
) -> None:
    client = InProcessClient(answers.api)
    assert show(client, "web: post /check", _window("exception"), as_document=False) == 0
    printed = capsys.readouterr().out
    assert "1. orders" in printed
    assert "does something else than before" in printed
    assert "place (/app/orders.py:7)" in printed
    assert "more failed than usual" in printed
    assert show(client, "", _window("quiet"), as_document=False) == 0
    assert "no cause: nothing differs" in capsys.readouterr().out


def test_the_command_prints_the_document(
    answers: Answers, capsys: pytest.CaptureFixture[str]
) -> None:
    show(InProcessClient(answers.api), "", _window("own"), as_document=True)
    assert json.loads(capsys.readouterr().out)["causes"][0]["service"] == "orders"


def test_the_command_says_which_transactions_there_are(answers: Answers) -> None:
    with pytest.raises(UsageError, match="there are: web: POST /checkout"):
        show(InProcessClient(answers.api), "no such one", _window("own"), as_document=False)
