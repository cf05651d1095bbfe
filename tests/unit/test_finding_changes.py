"""Rules of findings that look at changes, resources, workers and hosts: what becomes a candidate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

import pytest

from clew.analysis.findings.cost import Finding
from clew.analysis.findings.rule import Candidate, Occurrence, Traffic
from clew.analysis.findings.rules import all_rules
from clew.analysis.queries import (
    FindingCallsRow,
    FindingEntriesRow,
    FindingOperationsRow,
)
from clew.analysis.traces.times import HOUR

RULES = {rule.name: rule for rule in all_rules()}
MS = 10**6
UNTIL = 1_780_308_000.0
NEWEST = [(f"{number}", number) for number in range(5)]


def operation(name: str = "GET /", **more: Any) -> FindingOperationsRow:
    row: FindingOperationsRow = {
        "environment": "", "entry_service": "shop", "entry_operation": "GET /", "service": "shop", "operation": name,
        "kind": "Server", "traces": 300, "calls": 300, "self": 1, "repeating": 0, "repeated": [], "newest": NEWEST,
        "early_calls": 100, "early_self": 100 * 5 * MS, "late_calls": 100, "late_self": 100 * 5 * MS,
        "self_quantiles": (5e6, 8e6),
    }  # fmt: skip
    return {**row, **more}  # type: ignore[typeddict-item]


def call(**more: Any) -> FindingCallsRow:
    row: FindingCallsRow = {
        "environment": "", "entry_service": "shop", "entry_operation": "GET /", "source": "shop", "target": "stock",
        "type": "service", "summary": "GET", "traces": 300, "calls": 300, "errors": 0, "repeating": 0, "total": 10**9,
        "quantiles": (5e6, 8e6), "longest": 10**7, "newest": NEWEST, "oldest": NEWEST, "failing": [], "repeated": [],
        "slow": [], "early_calls": 10, "late_calls": 200,
    }  # fmt: skip
    return {**row, **more}  # type: ignore[typeddict-item]


def entry(**more: Any) -> FindingEntriesRow:
    row: FindingEntriesRow = {
        "environment": "", "service": "shop", "operation": "GET /", "id": "0" * 16, "traces": 300, "spans": 3000,
        "early_traces": 100, "late_traces": 100, "total": 3 * 10**9, "quantiles": (1e7, 2e7), "first": 0, "last": 1,
    }  # fmt: skip
    return {**row, **more}  # type: ignore[typeddict-item]


class Rows:
    """A source that answers queries by their names."""

    def __init__(self, answers: Mapping[str, Sequence[Any]]) -> None:
        self._answers = answers

    def rows(self, query: Any, **parameters: Any) -> list[Any]:
        return list(self._answers.get(query.name, ()))


def candidates(
    name: str,
    operations: Sequence[FindingOperationsRow] = (),
    calls: Sequence[FindingCallsRow] = (),
    of_entry: FindingEntriesRow | None = None,
    **answers: Sequence[Any],
) -> list[Candidate]:
    entries = {("", "shop", "GET /"): of_entry or entry()}
    traffic = Traffic(entries, operations, calls, 3600.0, {}, UNTIL, Rows(answers))
    chosen = list(RULES[name].candidates(traffic))
    if name in ("cpu_saturated", "gc_pauses", "memory_leak"):
        for one in chosen:
            RULES[name].advice.format(**one.numbers)
    return chosen


def points(metric: str, values: Sequence[float], **more: Any) -> list[dict[str, Any]]:
    row = {"metric": metric, "service": "shop", "source": "shop-1", "runtime": "cpython"} | more
    return [
        {"attributes": {}, **row, "at": 300 * slot, "value": value}
        for slot, value in enumerate(values)
    ]


def test_requests_wait_where_their_own_time_and_their_number_have_grown() -> None:
    grown = operation(late_self=100 * 30 * MS)
    (one,) = candidates("waits_before_work", [grown])
    assert (one.target, one.affected, one.numbers["usual"]) == ("GET /", 100, 5 * MS)
    for other in (
        operation(),
        operation(late_self=100 * 12 * MS),  # 7 ms more
        operation(late_self=30 * 30 * MS, late_calls=30),  # few
        operation(late_self=100 * 30 * MS, early_calls=1000, early_self=1000 * 5 * MS),  # no more at once
        operation(late_self=100 * 30 * MS, kind="Internal"),
    ):  # fmt: skip
        assert candidates("waits_before_work", [other]) == []


def persists(name: str, traffic: Traffic, **more: Any) -> bool:
    change = Finding(
        "", name, "", "shop", "GET /", "x", "", "", (), (), 0.0, 0.0, 0.0, **more
    )  # fmt: skip
    return RULES[name].persists(change, traffic)


def test_what_has_changed_lasts_until_it_is_as_usual_again() -> None:
    entries = {("", "shop", "GET /"): entry()}

    def waiting(late_self: int, late_calls: int = 100, usual: float | None = 5.0 * MS) -> bool:
        row = operation(early_self=late_self, late_self=late_self, late_calls=late_calls)
        traffic = Traffic(entries, [row], [], 3600.0, {}, UNTIL)
        return persists("waits_before_work", traffic, target="GET /", usual=usual)

    assert waiting(100 * 30 * MS)
    assert waiting(30 * 5 * MS, late_calls=30)  # too few to tell
    assert waiting(100 * 5 * MS, usual=None)  # of an older version
    assert not waiting(100 * 5 * MS)
    assert not waiting(0, late_calls=0)

    def reads(late_calls: int, usual: float | None = 0.1, **of_entry: Any) -> bool:
        row = call(early_calls=late_calls, late_calls=late_calls)
        traffic = Traffic({("", "shop", "GET /"): entry(**of_entry)}, [], [row], 3600.0, {}, UNTIL)
        return persists("cacheable", traffic, target="stock", usual=usual)

    assert reads(200)
    assert reads(1, late_traces=9)
    assert reads(1, usual=None)
    assert not reads(10)
    assert not persists("cacheable", Traffic({}, [], [], 1.0, {}), target="stock", usual=0.1)


def test_an_operation_blocks_the_loop_for_others() -> None:
    blocking = operation(self_quantiles=(2e8, 2.5e8))
    victims = [operation(name, self_quantiles=(1e6, 9e7)) for name in ("a", "b")]
    (one,) = candidates("event_loop_blocked", [blocking, *victims])
    assert (one.target, one.numbers) == ("GET /", {"victims": 2, "wait_ms": 90.0})
    assert candidates("event_loop_blocked", [blocking, victims[0]]) == []
    assert candidates("event_loop_blocked", [operation(), *victims]) == []
    # Node.js says it itself.
    delays = points("nodejs.eventloop.delay.p99", [0.2, 0.3, 0.25])
    assert len(candidates("event_loop_blocked", [blocking], finding_points=delays)) == 1
    # Where the loop is blocked, all operations wait before they work: that is said once.
    waiting = [operation(name, late_self=10**10, self_quantiles=(1e6, 9e7)) for name in ("a", "b")]
    assert candidates("waits_before_work", [blocking, *waiting]) == []
    assert len(candidates("waits_before_work", waiting)) == 2


def test_a_pool_is_full_where_connections_are_waited_for() -> None:
    waiting = operation("connect", kind="Client", self_quantiles=(2e5, 2e8))
    (one,) = candidates("pool_full", [waiting])
    assert one.numbers == {"usual": 2e5, "metrics": ""}
    assert candidates("pool_full", [operation("connect", self_quantiles=(5e7, 9e7))]) == []
    size = points("db.client.connection.max", [10.0])
    used = points("db.client.connection.count", [9.9], attributes={"state": "used"})
    (one,) = candidates("pool_full", [waiting], finding_points=[*size, *used])
    assert "99% of the pool" in str(one.numbers["metrics"])
    free = points("db.client.connection.count", [1.0], attributes={"state": "used"})
    assert candidates("pool_full", [waiting], finding_points=[*size, *free]) == []


def test_a_process_uses_its_core() -> None:
    slower = operation(late_self=100 * 7 * MS)
    busy = points("process.cpu.time", [0.95, 0.96, 0.97, 0.2, 0.2])
    (one,) = candidates("cpu_saturated", [slower], finding_points=busy)
    assert (one.numbers["used"], one.numbers["full"], one.numbers["slots"]) == ("97%", 3, 5)
    assert candidates("cpu_saturated", [operation()], finding_points=busy) == []
    always = points("process.cpu.time", [0.95] * 4)
    assert len(candidates("cpu_saturated", [operation()], finding_points=always)) == 1
    assert candidates("cpu_saturated", [slower], finding_points=busy[1:]) == []
    java = points("process.cpu.time", [3.5] * 4, runtime="OpenJDK")
    assert candidates("cpu_saturated", [slower], finding_points=java) == []
    assert candidates("cpu_saturated", [], finding_points=busy) == []  # no trace leads there


@pytest.mark.parametrize(
    ("seconds", "pauses", "is_found"),
    [(200, 10_000, True), (100, 10_000, False), (2, 30, True), (2, 10, False), (200, 0, True)],
)
def test_garbage_collections(seconds: float, pauses: float, is_found: bool) -> None:
    row = {"service": "shop", "source": "shop-1", "seconds": seconds, "pauses": pauses}
    assert bool(candidates("gc_pauses", [operation()], finding_pauses=[row])) is is_found


def test_memory_that_only_grows() -> None:
    def found(values: Sequence[float]) -> list[Candidate]:
        slots = [(600 * slot, value) for slot, value in enumerate(values)]
        row = {"service": "shop", "source": "shop-1", "values": slots}
        return candidates("memory_leak", [operation()], finding_memory=[row])

    (one,) = found([1e8 + slot * 1e6 for slot in range(20)])
    assert (one.numbers["growth"], one.numbers["share"]) == ("5.72 MiB", "5%")
    assert found([1e8 + slot * 1e6 for slot in range(11)]) == []
    assert found([1e8 + slot % 2 * 1e6 for slot in range(20)]) == []


def test_a_worker_that_never_rests() -> None:
    rule = RULES["queue_lag"]
    job = operation(kind="Client")
    assert len(candidates("queue_lag", [job], of_entry=entry(total=3500 * 10**9))) == 1
    assert candidates("queue_lag", [job]) == []
    assert candidates("queue_lag", [operation()], of_entry=entry(total=3500 * 10**9)) == []

    def jobs(gap: float, number: int = 6, worker: float = 1.0) -> list[Occurrence]:
        numbers = [{"worker": worker, "start": (1 + gap) * n, "end": (1 + gap) * n + 1} for n in range(number)]  # fmt: skip
        return [Occurrence("stock", "POST /", "shop", 0, one) for one in numbers]

    assert rule.accepts(jobs(0.05))
    assert not rule.accepts(jobs(0.5))
    assert not rule.accepts(jobs(0.05, 4))
    assert not rule.accepts([*jobs(0.05), *jobs(0.5, worker=2.0)])


def test_messages_that_wait_for_longer_than_before() -> None:
    (one,) = candidates("queue_lag", calls=[call(type="consumed")])
    assert (one.service, one.target) == ("stock", "shop")
    assert one.numbers["middle"] == pytest.approx((UNTIL - HOUR / 2) * 1e9)

    def accepts(early: float, late: float) -> bool:
        numbers = [{"early_s": early}] * 3 + [{"late_s": late}] * 3
        return RULES["queue_lag"].accepts([Occurrence("s", "o", "q", 0, one) for one in numbers])

    assert accepts(0.1, 2)
    assert not accepts(1, 2)
    assert not accepts(0.1, 0.5)


def test_reads_that_something_remembered() -> None:
    (one,) = candidates("cacheable", calls=[call()])
    assert one.numbers == {"reads": "2.0", "before": "0.10"}
    assert one.affected == 200
    for other in (call(early_calls=0), call(early_calls=80), call(late_calls=40)):
        assert candidates("cacheable", calls=[other]) == []
    assert candidates("cacheable", calls=[call()], of_entry=entry(early_traces=9)) == []

    def accepts(*asked: float) -> bool:
        return RULES["cacheable"].accepts(
            [Occurrence("s", "o", "x", 0, {"asked": one}) for one in asked]
        )

    assert accepts(1, 2, 1, 2)
    assert not accepts(1, 2, 3, 1)


def host(day: int, p50: float, errors: int = 0) -> dict[str, Any]:
    return {
        "host": "bank", "day": day, "calls": 1000, "errors": errors, "quantiles": (p50, 2 * p50), "callers": ["shop"],
        "one_in": 1,
    }  # fmt: skip


def test_a_host_is_slower_than_on_other_days() -> None:
    asked = call(type="external", target="bank")
    past = [host(day, 1e7) for day in (1, 2, 3)]
    (one,) = candidates("third_party", calls=[asked], external_days=[host(0, 4e7), *past])
    assert one.numbers == {
        "usual": 1e7,
        "reason": "p50 is 4.0 times the usual; p95 is 4.0 times the usual",
    }
    assert candidates("third_party", calls=[asked], external_days=[host(0, 1e7), *past]) == []
    assert candidates("third_party", calls=[asked], external_days=[host(0, 4e7), *past[:2]]) == []
    # What it refuses is the caller's fault.
    refused = {"host": "bank", "status_class": "4xx", "errors": 500, "callers": 1, "tenants": 1, "example": ""}  # fmt: skip
    days = [host(0, 1e7, 500), *past]
    assert len(candidates("third_party", calls=[asked], external_days=days)) == 1
    assert (
        candidates("third_party", calls=[asked], external_days=days, external_failures=[refused])
        == []
    )


def test_first_requests_of_new_instances() -> None:
    numbers = count(1)
    starts = [{"service": "shop", "source": f"shop-{next(numbers)}", "started": 100} for _ in range(3)]  # fmt: skip
    first = {
        "environment": "", "entry_service": "shop", "entry_operation": "GET /", "service": "shop", "slow": NEWEST,
    }  # fmt: skip
    (one,) = candidates("cold_start", finding_starts=starts, finding_first_traces=[first])
    assert (one.numbers["usual"], one.numbers["starts"], one.numbers["instance shop-2"]) == (
        2e7,
        3,
        100,
    )
    assert candidates("cold_start", finding_starts=starts[:2], finding_first_traces=[first]) == []
