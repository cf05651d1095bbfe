"""Findings: the step over settled traces, its rows, their states, and the API."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from clew.analysis.findings.cost import MIN_TRACES
from clew.analysis.findings.records import FindingRecords, FindingState
from clew.analysis.findings.rule import Candidate, Change, Traffic
from clew.analysis.findings.rules import all_rules
from clew.analysis.findings.rules.chatty import Chatty
from clew.analysis.findings.rules.n_plus_one_queries import NPlusOneQueries
from clew.analysis.findings.step import RESOLVED_AFTER, Findings, time_groups
from clew.analysis.steps import Interval
from clew.analysis.traces.settling import Settling, settler_statements
from clew.analysis.traces.times import LAST_SECOND
from clew.storage import Ingest, Store
from clew.storage.errors import StorageError
from support.api_client import ApiClient
from support.loading import Running, settle
from support.repeated import STATEMENT, n_plus_one
from support.settled import Occurrence, insert_definitions, insert_occurrences
from support.traffic import SECOND, Loader, Span

T0 = 1_780_308_000 * SECOND


class Shop:
    """A store whose traces are settled, and runs of the step."""

    def __init__(self, store: Store, directory: Path) -> None:
        self.store = store
        self.loader = Loader(Ingest(store), directory)
        self.statements = settler_statements(store)
        self.step = Findings(self.statements)
        self.api = ApiClient(store)
        self.traces = 0

    def serve(self, number: int, start: int, queries: int = 10) -> None:
        """So many requests, one each second."""
        spans: list[Span] = []
        for second in range(number):
            self.traces += 1
            spans += n_plus_one(f"{self.traces:032x}", start + second * SECOND, queries)
        self.loader.spans(spans)
        settle(Settling(self.store))

    def run(self) -> None:
        version = Settling(self.store).next_version()
        self.step.run(Interval(0, LAST_SECOND, version), Running())

    def states(self) -> list[FindingState]:
        return [record.state for record in FindingRecords(self.statements).all().values()]


@pytest.fixture
def shop(store: Store, tmp_path: Path) -> Shop:
    return Shop(store, tmp_path)


def test_a_finding_says_what_it_costs_whom_and_what_to_do(shop: Shop) -> None:
    shop.serve(36, T0)
    shop.serve(4, T0 + 40 * SECOND, queries=2)
    shop.run()
    answer = shop.api.get("/api/v1/findings")
    (finding,) = answer["findings"]
    assert (finding["rule"], finding["title"]) == ("n_plus_one_queries", "N+1 queries")
    assert (finding["service"], finding["operation"]) == ("stock", "GET /stock")
    assert (finding["subject"], finding["state"]) == (STATEMENT, "open")
    assert "10 times" in finding["advice"]
    assert "200 ms" in finding["advice"]
    assert finding["saved_ms"] == pytest.approx(180)
    (cost,) = finding["transactions"]
    assert (cost["name"], cost["environment"], cost["value"]) == ("shop: GET /list", "prod", None)
    assert cost["share"] == pytest.approx(0.9)
    assert cost["p95_share"] == pytest.approx(180 / 220)
    seconds = 44  # from the first to the last trace
    assert finding["per_day_s"] == pytest.approx(36 * 0.18 / seconds * 86_400, rel=0.05)
    assert len(set(finding["traces"])) == 5
    with shop.store.client() as client:
        shown = client.query(finding["sql"]).result_rows
    assert len(shown) == 5 * 11  # the spans of stock
    assert answer["settled_until"] is None or answer["truncated"] is False
    # A finding is found by its transaction, service, rule and state, and has the same id next time.
    shop.run()
    for parameters in (
        {"transaction": cost["id"]},
        {"service": "stock"},
        {"rule": finding["rule"]},
        {"state": "open"},
    ):
        (again,) = shop.api.get("/api/v1/findings", **parameters)["findings"]
        assert again == finding
    for other in (
        {"transaction": "0" * 16},
        {"service": "shop"},
        {"state": "resolved"},
        {"rule": "chatty"},
        {"environment": "x"},
    ):
        assert shop.api.get("/api/v1/findings", **other)["findings"] == []
    assert shop.api.problem("/api/v1/findings", rule="no such")["status"] == 400
    assert shop.api.get(f"/api/v1/findings/{finding['id']}")["finding"] == finding
    assert shop.api.problem("/api/v1/findings/none")["status"] == 404


def test_what_is_seldom_or_cheap_is_not_opened(shop: Shop) -> None:
    shop.serve(MIN_TRACES - 1, T0)
    shop.run()
    assert shop.states() == []
    shop.serve(60, T0 + 60 * SECOND, queries=4)
    shop.run()
    assert shop.states() == []


def test_states(shop: Shop) -> None:
    shop.serve(5, T0)
    shop.run()
    (finding,) = shop.api.get("/api/v1/findings")["findings"]
    path = f"/api/v1/findings/{finding['id']}/state"
    assert shop.api.send("POST", path, json={"state": "ignored"}).status_code == 400
    assert shop.api.send("POST", path, json={"state": "regressed"}).status_code == 400
    assert shop.api.send("POST", path, json={"state": "gone"}).status_code == 422
    unknown = "/api/v1/findings/0123456789abcdef/state"
    assert shop.api.send("POST", unknown, json={"state": "open"}).status_code == 404
    answer = shop.api.send("POST", path, json={"state": "ignored", "reason": "a report"})
    assert (answer.json()["state"], answer.json()["reason"]) == ("ignored", "a report")
    shop.run()
    assert shop.states() == [FindingState.IGNORED]
    assert shop.api.get("/api/v1/findings")["findings"] == []
    (ignored,) = shop.api.get("/api/v1/findings", state=["ignored", "resolved"])["findings"]
    assert ignored["id"] == finding["id"]


def test_a_resolved_finding_regresses_with_traces_that_begin_later(shop: Shop) -> None:
    shop.serve(5, T0)
    shop.run()
    (id,) = FindingRecords(shop.statements).all()
    FindingRecords(shop.statements).change([id], FindingState.RESOLVED, T0 / 1e9 + 600, "ann")
    shop.run()  # over the same traces
    assert shop.states() == [FindingState.RESOLVED]
    shop.serve(2, T0 + 700 * SECOND)
    shop.run()
    assert shop.states() == [FindingState.RESOLVED]
    shop.serve(2, T0 + 800 * SECOND)
    shop.run()
    assert shop.states() == [FindingState.REGRESSED]


def test_what_is_not_seen_for_a_day_is_resolved_where_there_is_traffic(shop: Shop) -> None:
    shop.serve(5, T0)
    shop.run()
    later = T0 + int(RESOLVED_AFTER + 3600) * SECOND
    shop.serve(20, later, queries=1)
    shop.run()
    assert shop.states() == [FindingState.OPEN]  # too little traffic to tell
    shop.serve(100, later + 60 * SECOND, queries=1)
    shop.run()
    assert shop.states() == [FindingState.RESOLVED]


class LastingRule(NPlusOneQueries):
    """A rule that compares with before, for as long as it is told so."""

    sees_changes = True
    lasts = True

    def persists(self, change: Change, traffic: Traffic) -> bool:
        return self.lasts


def test_what_a_rule_of_changes_has_found_is_resolved_a_day_after_it_is_as_usual(
    shop: Shop,
) -> None:
    rule = LastingRule()
    shop.step = Findings(shop.statements, [rule])
    shop.serve(5, T0)
    shop.run()
    day = int(RESOLVED_AFTER + 3600) * SECOND
    for later, rule.lasts, state in (
        (T0 + day, True, FindingState.OPEN),
        (T0 + 2 * day, True, FindingState.OPEN),
        (T0 + 2 * day + 3600 * SECOND, False, FindingState.OPEN),
        (T0 + 3 * day, False, FindingState.RESOLVED),
    ):
        shop.serve(110, later, queries=1)
        shop.run()
        assert shop.states() == [state]


def test_a_definition_says_what_the_traces_are_worth(shop: Shop) -> None:
    shop.serve(10, T0)
    insert_definitions(shop.store, {"name": "List"})
    insert_occurrences(
        shop.store,
        [
            Occurrence(
                "list", f"{n}", T0 + n * SECOND, SECOND, (f"{n + 1:032x}",), T0 + (n + 1) * SECOND,
                value=5.0, services=("shop",),
            )
            for n in range(10)
        ],
    )  # fmt: skip
    with shop.store.client() as client:
        client.command(
            "ALTER TABLE otel.clew_occurrences UPDATE EntryOperation = 'GET /list' WHERE 1 SETTINGS mutations_sync = 2"
        )
    shop.run()
    (finding,) = shop.api.get("/api/v1/findings", transaction="list")["findings"]
    assert finding["transactions"][0]["defined"] == ["list"]
    assert finding["value"] > 0


class BrokenRule(Chatty):
    """A rule that fails as long as it has an error."""

    name = "broken"

    def __init__(self, error: Exception | None) -> None:
        self.error = error

    def candidates(self, traffic: Traffic) -> Iterator[Candidate]:
        if self.error:
            raise self.error
        yield from ()


def test_a_rule_that_fails_is_said_and_the_others_run(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    shop.serve(5, T0)
    broken = BrokenRule(StorageError("no such column"))
    shop.step = Findings(shop.statements, [broken, *all_rules()])
    for _ in range(2):
        shop.run()
    answer = shop.api.get("/api/v1/findings")
    assert [one["rule"] for one in answer["findings"]] == ["n_plus_one_queries"]
    (failed,) = answer["failed_rules"]
    assert (failed["rule"], failed["error"]) == ("broken", "StorageError: no such column")
    assert len([one for one in caplog.records if "broken" in one.message]) == 1
    broken.error = None
    shop.run()
    assert shop.api.get("/api/v1/findings")["failed_rules"] == []


def test_a_finding_of_a_rule_that_fails_stays(shop: Shop) -> None:
    shop.serve(5, T0)
    shop.run()
    failing = BrokenRule(ValueError("no"))
    failing.name = "n_plus_one_queries"  # type: ignore[misc]
    shop.step = Findings(shop.statements, [failing])
    shop.serve(120, T0 + int(RESOLVED_AFTER + 3600) * SECOND, queries=1)
    shop.run()
    assert shop.states() == [FindingState.OPEN]


def test_a_run_over_nothing_writes_nothing(shop: Shop) -> None:
    shop.run()
    assert shop.states() == []


def test_traces_are_parted_where_the_longest_times_lie_between_them() -> None:
    starts = {"a": 0, "b": 1, "c": 1000, "d": 1001, "e": 5000}
    assert time_groups(starts) == [["a", "b"], ["c", "d"], ["e"]]
    assert time_groups({"a": 1}) == [["a"]]
    assert time_groups({}) == []
