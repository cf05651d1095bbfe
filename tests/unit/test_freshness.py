"""Reads ask for a catch-up: which, when, and how long they wait for it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator

import pytest

from clew.api.freshness import declared_reads, reads
from clew.storage import LedgerRow
from clew.storage.freshness import DEBT, Budget, Freshness, Pending, Reads
from clew.storage.ledger import PENDING

TRACES, LOGS = Reads(frozenset(("traces",))), Reads(frozenset(("logs",)))
SETTLED = Reads(frozenset(("traces",)), settled=True)
MAP = Reads(frozenset(("traces",)), settled=True, steps=frozenset(("edges",)))


class Collector:
    """Has segments, which it loads when they are sealed and `loads`."""

    def __init__(self, settler: Settler) -> None:
        self.settler = settler
        self.segments: dict[int, LedgerRow] = {}
        self.sealed: list[tuple[str, int]] = []
        self.loads = True
        self.behind = False

    def receive(self, signal: str, items: int) -> int:
        segment = time.time_ns()
        self.segments[segment] = LedgerRow(time.time(), signal, segment, "", PENDING, items)
        return segment

    def accepts(self) -> bool:
        return True

    def pending(self) -> list[LedgerRow]:
        return list(self.segments.values())

    pending_segments = pending

    def is_behind(self) -> bool:
        return self.behind

    def seal(self, signal: str, segment: int) -> None:
        self.sealed.append((signal, segment))
        for row in self.pending():
            if self.loads and row.signal == signal and row.segment <= segment:
                self.settler.insert += 1
                del self.segments[row.segment]


class Settler:
    """Settles at once what it is asked for, if it `works`."""

    def __init__(self) -> None:
        self.insert = 0
        self.settled = 0
        self.passes: list[frozenset[str]] = []
        self.works = threading.Event()
        self.works.set()
        self.behind = False

    def inserts(self) -> int:
        return self.insert

    def is_settled(self, insert: int, steps: frozenset[str]) -> bool:
        return self.settled >= insert and (not steps or any(steps <= run for run in self.passes))

    def settled_until(self, steps: frozenset[str]) -> float | None:
        return 7.0

    def settle_now(self, steps: frozenset[str]) -> None:
        self.passes.append(steps)
        insert = self.insert

        def settle() -> None:
            self.works.wait()
            self.settled = insert

        threading.Thread(target=settle).start()

    def is_behind(self) -> bool:
        return self.behind


@pytest.fixture
def settler() -> Settler:
    return Settler()


@pytest.fixture
def collector(settler: Settler) -> Collector:
    return Collector(settler)


@pytest.fixture
def freshness(collector: Collector, settler: Settler) -> Iterator[Freshness]:
    freshness = Freshness()
    freshness.register(collector)
    freshness.register_settler(settler)
    with freshness.running():
        yield freshness
    settler.works.set()


def ask(freshness: Freshness, reads: Reads, within: float = 10.0) -> Pending:
    return asyncio.run(freshness.catch_up(reads, within))


def test_an_answer_waits_for_what_it_reads_alone(
    freshness: Freshness, collector: Collector, settler: Settler
) -> None:
    segment = collector.receive("traces", 3)
    collector.receive("logs", 5)
    assert ask(freshness, TRACES) == Pending(0)
    assert collector.sealed == [("traces", segment)]
    assert not settler.passes
    assert ask(freshness, LOGS, 0.0) == Pending(5)
    assert collector.sealed == [("traces", segment)]


def test_settled_traces_are_settled_up_to_the_question(
    freshness: Freshness, collector: Collector, settler: Settler
) -> None:
    collector.receive("traces", 3)
    asked_at = time.time()
    pending = ask(freshness, SETTLED)
    assert pending.items == 0
    assert (pending.settled_until or 0) >= asked_at
    assert settler.passes == [frozenset()]
    ask(freshness, MAP)
    assert settler.passes == [frozenset(), MAP.steps]


def test_it_waits_no_longer_than_it_may(freshness: Freshness, collector: Collector) -> None:
    collector.loads = False
    collector.receive("traces", 3)
    assert ask(freshness, TRACES, 0.05) == Pending(3)
    assert len(collector.sealed) == 1  # the catch-up goes on


def test_a_pass_that_takes_long_leaves_open_what_is_settled(
    freshness: Freshness, collector: Collector, settler: Settler
) -> None:
    settler.works.clear()
    collector.receive("traces", 3)
    assert ask(freshness, SETTLED, 0.2) == Pending(0, 7.0)


@pytest.mark.parametrize("behind", ["collector", "settler"])
def test_while_work_is_behind_nothing_is_asked_for(
    freshness: Freshness, collector: Collector, settler: Settler, behind: str
) -> None:
    (collector if behind == "collector" else settler).behind = True
    collector.receive("traces", 3)
    assert ask(freshness, SETTLED) == Pending(3, 7.0)
    assert not collector.sealed
    assert not settler.passes


def test_work_that_falls_behind_releases_those_who_wait(
    freshness: Freshness, collector: Collector
) -> None:
    collector.loads = False
    collector.receive("traces", 3)
    threading.Timer(0.1, lambda: setattr(collector, "behind", True)).start()
    assert ask(freshness, TRACES, 60.0) == Pending(3)


def test_one_catch_up_serves_all_who_ask_before_it_begins(
    freshness: Freshness, collector: Collector, settler: Settler
) -> None:
    async def ask_all() -> list[Pending]:
        collector.receive("traces", 1)
        collector.receive("logs", 1)
        questions = (SETTLED, TRACES, LOGS, MAP)
        return await asyncio.gather(*(freshness.catch_up(reads, 10.0) for reads in questions))

    assert {pending.items for pending in asyncio.run(ask_all())} == {0}
    assert settler.passes == [MAP.steps]
    assert sorted(signal for signal, _ in collector.sealed) == ["logs", "traces"]


def test_nothing_known_is_said_without_a_source() -> None:
    assert ask(Freshness(), SETTLED) == Pending(None, None)


def test_who_asks_for_everything_does_not_wait_for_ever(
    freshness: Freshness, collector: Collector
) -> None:
    collector.receive("traces", 3)
    collector.receive("metrics", 3)
    freshness.catch_up_everything(10.0)
    assert not collector.segments
    collector.loads = False
    collector.receive("logs", 3)
    freshness.catch_up_everything(0.05)
    assert collector.segments


def test_a_budget_has_a_reserve_and_an_average() -> None:
    budget = Budget(100.0, share=0.05, reserve=2.0)
    for _ in range(5):
        assert budget.seconds_until_available(100.0) == 0.0
        budget.spend(0.5, 100.0)
    assert budget.seconds_until_available(100.0) == pytest.approx(10.0)
    assert budget.seconds_until_available(110.0) == pytest.approx(0.0)
    budget.spend(100.0, 1000.0)
    assert budget.seconds_until_available(1000.0) == pytest.approx(DEBT / 0.05)
    assert budget.seconds_until_available(5000.0) == 0.0


def test_a_route_that_reads_declares_it() -> None:
    @reads("traces", settled=True)
    def declared() -> None: ...

    def undeclared() -> None: ...

    assert declared_reads(declared, {"GET"}) == (SETTLED, True)
    with pytest.raises(TypeError, match="undeclared: declare what it reads with @reads"):
        declared_reads(undeclared, {"GET"})
    assert declared_reads(undeclared, {"POST"}) == (Reads(), False)
