"""The arithmetic of a diagnosis: onset, impact, and the values that explain a change."""

from __future__ import annotations

import math
from typing import Any

import pytest

from clew.analysis import impact
from clew.analysis.diagnosis.causes import THRESHOLD, WEIGHTS, rank
from clew.analysis.diagnosis.diagnosis import with_file
from clew.analysis.diagnosis.differences import differences, of_kind
from clew.analysis.diagnosis.evidence import (
    Evidence,
    explained_calls,
    handed_up,
    least_z,
    logs_evidence,
    more_calls,
    process_evidence,
    structure_evidence,
    time_changes,
    time_evidence,
)
from clew.analysis.diagnosis.onset import comparable, last_worsening, onset
from clew.analysis.diagnosis.sentences import sentence
from clew.analysis.queries import DiagnosisSlotsRow, DiagnosisValuesRow


def _minutes(*durations: float, seconds: int = 60, traces: int = 50) -> list[DiagnosisSlotsRow]:
    return [
        {
            "start": seconds * number,
            "traces": traces,
            "errors": 0,
            "log_duration": math.log(duration),
        }
        for number, duration in enumerate(durations)
    ]


STEP = _minutes(*[100, 103, 98, 101] * 6, *[400, 410, 395] * 4)
MENDED = _minutes(*[100, 103] * 6, *[400, 410] * 6, *[101, 99] * 6)


def test_the_onset_is_the_change_next_to_the_window() -> None:
    assert onset(STEP, 25 * 60) == 24 * 60
    assert onset(STEP, 60) == 60  # none is near
    assert onset([], 60) == 60


def test_the_last_change_for_the_worse_is_found() -> None:
    assert last_worsening(STEP) == 24 * 60
    assert last_worsening(MENDED) == 12 * 60
    assert last_worsening(_minutes(*[100] * 30)) is None
    assert last_worsening([]) is None


def test_a_change_within_six_minutes_is_found_where_there_are_enough_traces() -> None:
    durations = [*[100, 112, 95, 104, 98, 109] * 3, *[400, 430, 370] * 6]
    assert last_worsening(_minutes(*durations, seconds=10)) == 180
    assert last_worsening(_minutes(*durations, seconds=10, traces=2)) == 180  # in slots of 30 s
    assert last_worsening(_minutes(*durations, seconds=10, traces=1)) is None
    assert comparable(_minutes(*durations, seconds=10, traces=1)) == []
    assert last_worsening(_minutes(*durations[:18], seconds=10)) is None
    late = [*_minutes(*durations, seconds=10), *_minutes(3000, traces=3)]
    late[-1]["start"] = 360
    assert last_worsening(late) == 180  # the last slot is not over


def test_an_excess_has_an_interval() -> None:
    found = impact.excess(150, 10_000, 50, 10_000)
    assert found.value == pytest.approx(100)
    assert 70 < found.lower < 100 < found.upper < 130
    none = impact.excess(5, 100, 50, 1000)
    assert none.lower < 0 < none.upper
    assert impact.excess(0, 0, 0, 0).value == 0


def test_the_interval_of_a_share_holds_it() -> None:
    assert impact.wilson(0, 0) == (0, 1)
    low, high = impact.wilson(0, 100)
    assert low == 0
    assert 0.03 < high < 0.04  # 3.7 %, as tables have it


def test_parts_are_combined() -> None:
    assert impact.combined_score({}) == 0
    assert impact.combined_score({"a": 0.5, "b": 0.5}) == 0.75
    assert impact.combined_score({"a": 7.0}) == 1


def _set(rows: int) -> Any:
    return {
        "rows": rows, "traces": rows, "errors": 0, "time": rows * 1e8, "satisfied": rows,
        "tolerating": 0, "mean": 1e8, "quantiles": [1e8, 1e8],
    }  # fmt: skip


def _occurrences(is_a: bool, number: int, bad: int) -> Any:
    return {
        "is_a": is_a, "occurrences": number, "failed": 0, "bad": bad, "users": 0, "users_worse": 0, "worse": 0, "users_by_count": ([], []),
        "value": 0.0, "value_squares": 0.0, "lost": 0.0, "at_risk": 0.0,
    }  # fmt: skip


def test_an_impact_has_its_share_of_the_error_budget() -> None:
    occurrences = [_occurrences(True, 100, 50), _occurrences(False, 1000, 10)]
    # 49 more than usual are bad; 1000 an hour make 720,000 a month, of which 1 % may be bad.
    found = impact.impact(_set(100), _set(1000), occurrences, impact.Objective(0.99), 3600)
    assert found["budget_share"] == found["parts"]["budget"] == pytest.approx(49 / 7200)
    assert impact.impact(_set(100), _set(1000), occurrences)["budget_share"] is None


def _row(key: str, value: str, a: int, a_ms: float, b: int, b_ms: float) -> Any:
    return {
        "service": "orders", "operation": "POST", "source": "span", "key": key, "value": value,
        "a": a, "a_time": a * a_ms, "a_failed": 0, "b": b, "b_time": b * b_ms, "b_failed": 0,
    }  # fmt: skip


def test_the_value_that_has_the_change_is_named() -> None:
    rows: list[DiagnosisValuesRow] = [
        _row("", "", 100, 20, 100, 10),
        _row("tenant", "globex", 20, 60, 20, 10),
        _row("tenant", "acme", 80, 10, 80, 10),
        _row("region", "west", 50, 20, 50, 10),
    ]
    found = differences(rows)["orders"]
    assert [(value.key, value.value) for value in of_kind(found, "values")] == [
        ("tenant", "globex")
    ]
    assert found[0].share == 1
    assert found[0].calls_share == 0.2
    assert of_kind(found, "versions") == of_kind(found, "instances") == []


def _way(came: float, expected: float, share: float) -> Any:
    return {
        "service": "orders", "operation": "charge", "came": came, "expected": expected,
        "variance": 0.1, "calls": 8.0, "baseline_calls": 700.0, "baseline_share": share,
        "is_total": False, "entry": "POST /orders", "more": 0.0, "more_variance": 0.0,
        "time": 0.0, "usual": 0.0,
    }  # fmt: skip


def test_an_operation_that_always_ran_and_is_missing_is_a_cause() -> None:
    evidences = {name: Evidence() for name in WEIGHTS}
    evidences["structure"] = structure_evidence([_way(1, 8, 1.0)], [], {})
    (cause,) = rank(evidences, 1e9)
    assert (cause.service, cause.kind) == ("orders", "missing")
    assert cause.score >= THRESHOLD
    sometimes = structure_evidence([_way(1, 8, 0.7)], [], {})
    assert not sometimes.missing


def test_a_service_that_calls_more_or_one_after_the_other_is_a_cause() -> None:
    way = _way(40, 10, 1.0) | {
        "is_total": True, "operation": "", "more": 8e8, "more_variance": 1e15, "time": 9e7, "usual": 1e7,
    }  # fmt: skip
    evidences = {name: Evidence() for name in WEIGHTS}
    evidences["time"] = time_evidence([], more_calls([way], 10))
    (cause,) = rank(evidences, 1e9)
    assert (cause.service, cause.kind, cause.score) == ("orders", "code", 1.0)
    (change,) = evidences["time"].details["orders"]
    assert (change["type"], change["operation"], change["extra_ms"]) == (
        "calls",
        "POST /orders",
        80,
    )
    assert not more_calls([way | {"more_variance": 1e18}], 10)  # as much by chance
    assert not structure_evidence([way], [], {}).strengths
    calls = explained_calls(more_calls([way], 10), Evidence({"bank": 3.0}), {"orders": ["bank"]})
    evidences["time"] = time_evidence([], calls)
    (cause,) = rank(evidences, 1e9)
    assert cause.score == 0.5  # what it calls logs otherwise


def test_errors_that_are_handed_up_are_of_the_deepest_service() -> None:
    graph = {"shop": ["orders"], "orders": ["payments"]}
    calls = _way(90, 10, 0.1) | {"operation": "DELETE", "baseline_calls": 700.0, "more": 9e8}
    error = _kind_of_record(80, 0.0, 0.4) | {"severity": "error"}
    evidences = {name: Evidence() for name in WEIGHTS}

    def ranked(of_payments: int) -> list[tuple[str, float]]:
        records = [error, error | {"service": "payments", "came": of_payments}]
        evidences["logs"] = logs_evidence(records, [], 1.0, 1.0, graph)
        more = explained_calls(more_calls([calls], 10), evidences["logs"], graph)
        evidences["time"] = time_evidence([], more)
        evidences["structure"] = structure_evidence([calls], [], graph)
        causes = rank(evidences, 1e9, handed_up(evidences, graph))
        return [(cause.service, cause.score) for cause in causes]

    assert ranked(80) == [("payments", pytest.approx(1.2)), ("orders", pytest.approx(0.6))]
    # Eight times as many orders are otherwise: payments is not why.
    assert ranked(10)[0][0] == "orders"
    loop = {"orders": ["payments"], "payments": ["orders"]}
    assert handed_up(evidences, loop) == {}


def test_waiting_for_a_connection_is_the_process() -> None:
    row: Any = {
        "service": "orders", "operation": "connect", "target": "postgresql/shop", "type": "database",
        "a": (50, 50, 50e8, 50e16, 50, 50e8, 0), "b": (500, 500, 500e6, 500e12, 500, 500e6, 0),
    }  # fmt: skip
    evidences = {name: Evidence() for name in WEIGHTS}
    for operation, kind in (("connect", "process"), ("SELECT orders", "database")):
        evidences["time"] = time_evidence(time_changes([row | {"operation": operation}], 50))
        (cause,) = rank(evidences, 1e9)
        assert (cause.kind, cause.target) == (kind, "postgresql/shop")


@pytest.mark.parametrize("kind", ["database", "external"])
def test_a_target_whose_calls_fail_has_its_kind(kind: str) -> None:
    row: Any = {
        "service": "orders", "operation": "", "target": "x", "type": kind,
        "a": (50, 50, 5e8, 5e15, 50, 5e8, 25), "b": (500, 500, 5e9, 5e16, 500, 5e9, 5),
    }  # fmt: skip
    evidences = {name: Evidence() for name in WEIGHTS}
    evidences["structure"] = structure_evidence([], [row], {})
    (cause,) = rank(evidences, 1e9)
    assert (cause.kind, cause.target) == (kind, "x")


def test_some_calls_that_take_far_longer_are_a_change_and_a_single_one_is_not() -> None:
    def row(slow: int) -> Any:
        calls = [10e6] * (45 - slow) + [500e6] * slow
        usual = (900, 900, 9e9, 900 * (10e6**2 + 3e6**2), 900, 9e9, 0)
        own = (45, 45, sum(calls), sum(call**2 for call in calls), 45, sum(calls), 0)
        return {"service": "a", "operation": "b", "target": "", "type": "", "a": own, "b": usual}

    for slow, is_hot in ((10, True), (1, False)):
        (change, *_) = time_changes([row(slow)] * 40, 45)
        assert change.is_hot is is_hot


def test_of_many_things_that_are_compared_one_differs_by_chance() -> None:
    assert least_z(1) == least_z(30) == 3
    assert 3.7 < least_z(500) < 3.9


@pytest.mark.parametrize(
    ("file", "place"), [("", "shop.Orders#53"), ("orders.py", "shop.Orders (orders.py:53)")]
)
def test_a_place_keeps_its_line_where_no_file_is_known(file: str, place: str) -> None:
    change = {"kind": "record", "place": "shop.Orders#53", "example": "", "span_id": ""}
    row: Any = {"record": ("info", "x", "5", "shop.Orders", file, "53"), "trace_id": "7"}
    assert with_file(change, [row]) == change | {"place": place, "example": "7", "span_id": "5"}


def _kind_of_record(came: int, expected: float, variance: float) -> Any:
    return {
        "service": "orders", "template": "1", "severity": "info", "place": "", "body": "written",
        "came": came, "expected": expected, "variance": variance, "tested": 200, "share": 1.0,
        "example": "",
    }  # fmt: skip


def test_a_record_is_missing_only_if_it_nearly_always_came() -> None:
    always, often = _kind_of_record(2, 10, 0.4), _kind_of_record(2, 10, 12.0)
    assert logs_evidence([always], [], 1.0, 1.0, {}).strengths
    assert not logs_evidence([often], [], 1.0, 1.0, {}).strengths


def test_a_process_that_uses_little_of_its_limit_counts_for_less() -> None:
    row: Any = {
        "service": "orders", "metric": "k8s.pod.cpu_limit_utilization", "instance": "orders-1",
        "name": "", "unit": "1", "highest": 0.2, "median": 0.01, "low": 0.01, "high": 0.02, "points": 50,
    }  # fmt: skip
    assert process_evidence([row]).strengths["orders"] == pytest.approx(0.4 * 9.5)
    loaded = process_evidence([row | {"highest": 0.9}])
    assert loaded.strengths["orders"] == pytest.approx(44.5)


def test_a_little_more_memory_is_no_evidence() -> None:
    row: Any = {
        "service": "orders", "metric": "process.memory.usage", "instance": "orders-1",
        "name": "", "unit": "By", "highest": 122e6, "median": 117e6, "low": 117e6, "high": 117.2e6, "points": 50,
    }  # fmt: skip
    assert not process_evidence([row]).strengths
    assert process_evidence([row | {"highest": 234e6}]).strengths


def _cause(kind: str, **changes: Any) -> Any:
    empty: dict[str, Any] = {"changes": []}
    evidence = {name: dict(empty) for name in WEIGHTS}
    evidence["time"] = {
        "changes": [{"type": "own", "baseline_ms": 10.9, "ms": 259.9, "extra_ms": 248.9}]
    }
    return {
        "service": "payments", "operation": "POST /charges", "kind": kind, "target": "",
        "confidence": 0.92, "evidence": evidence, "places": [], "exceptions": [],
        "versions": [], "values": [], "instances": [], "examples": [{"place": "charge (/app/pay.py:48)"}],
    } | changes  # fmt: skip


def test_a_cause_is_said_in_a_sentence() -> None:
    version = sentence(_cause("version", versions=[{"value": "1.9.0"}]))
    assert version == (
        "payments POST /charges takes longer: 10.9 → 260 ms a call, since version 1.9.0, "
        "in charge (/app/pay.py:48) (confidence 92%)"
    )
    external = sentence(_cause("external", target="bank.example", operation=""))
    assert external.startswith("payments waits for bank.example: 10.9 → 260 ms a call")
    record = {"place": "pay.py#7", "change": "new", "text": "refused " * 100}
    code = _cause("code", places=[record])
    code["evidence"]["logs"] = {"changes": [record]}
    assert "does something else at pay.py#7, new: refused refused" in sentence(code)
    assert len(sentence(code | {"operation": "x" * 1000})) == 300
    for kind in ("own", "link", "code", "missing", "process", "database", "value"):
        assert sentence(_cause(kind)).endswith("(confidence 92%)")


def test_the_deeper_service_wins() -> None:
    rows = [_way(1, 8, 1.0), _way(1, 8, 1.0) | {"service": "payments"}]
    evidence = structure_evidence(rows, [], {"orders": ["payments"]})
    assert evidence.missing["orders"] == evidence.missing["payments"] / 2
