"""However clew ends under load, every acknowledged request is stored exactly once.

Receiver, spool, loader and engine are one process, so kill -9 ends all of them at once.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import FaultyClew
from oracle import Book, Load, check, within_seconds

# A cycle takes some six seconds. If n cycles lose nothing, the rate is below 3/n (95 % confidence).
CYCLES = int(os.environ.get("CLEW_TORTURE_CYCLES", "1000"))

MOMENTS = {
    "before the removal": "before clew.collector.segment:Segment.remove 3",
    "after the removal": "after clew.collector.segment:Segment.remove 3",
    "before the insert": "before clew.storage.ingest:Ingest._insert 3",
    "after the insert": "after clew.storage.ingest:Ingest._insert 3",
    "after the count": "after clew.storage.ingest:_count 3",
    "before .loading": "before clew.collector.segment:Segment.mark_loading 4",
    "at .loading": "after clew.collector.segment:Segment.mark_loading 4",
    "at .loaded": "after clew.collector.segment:Segment.mark_loaded 4",
    "before the ledger": "before clew.storage.ingest:Ingest.write_ledger 3",
    "after the ledger": "after clew.storage.ingest:Ingest.write_ledger 3",
    "after the sync": "after clew.collector.spool:_OpenSegment.append 30",
    "before the seal": "before clew.collector.spool:_OpenSegment.seal 3",
    "after the seal": "after clew.collector.spool:_OpenSegment.seal 3",
    "after a rewrite": "after clew.collector.segment:Segment.rewrite 2",
}
RELOAD_STEPS = ("_delete 1", "_rebuild_side_rows 1", "_rebuild_side_rows 2")


@pytest.fixture
def clew(tmp_path: Path) -> Iterator[FaultyClew]:
    running = FaultyClew(tmp_path / "data", unasked="")
    yield running
    running.switch_off("stopped")
    running.stop()


# An end stops or kills clew, and starts it again on the same data.
End = Callable[[FaultyClew, Load, random.Random], None]


def kill(clew: FaultyClew, load: Load, chance: random.Random) -> None:
    time.sleep(chance.uniform(0.2, 2.0))
    clew.kill()
    clew.start()


def kill_during_recovery(times: int) -> End:
    """Kill it, and then its next starts so many times in a row."""

    def end(clew: FaultyClew, load: Load, chance: random.Random) -> None:
        load.wait_for_answers(0.2)
        clew.kill()
        for _ in range(times):
            clew.start_without_waiting()
            time.sleep(chance.uniform(0.8, 2.6))
            clew.kill()
        clew.start()

    return end


def terminate(clew: FaultyClew, load: Load, chance: random.Random) -> None:
    time.sleep(chance.uniform(0.2, 1.0))
    with within_seconds(10):
        assert clew.stop() == 0
    clew.start()


def terminate_with_a_stuck_engine(clew: FaultyClew, load: Load, chance: random.Random) -> None:
    clew.switch_on("stopped")
    load.wait_for_answers(1.0)
    with within_seconds(10):
        assert clew.stop() == 0
    clew.switch_off("stopped")
    clew.start()


def kill_at(moment: str) -> End:
    """Have it kill itself at one of MOMENTS."""

    def end(clew: FaultyClew, load: Load, chance: random.Random) -> None:
        clew.kill()
        clew.switch_on("kill", MOMENTS[moment])
        clew.start()
        clew.wait_until_dead()
        clew.start()

    return end


def kill_during_reload(clew: FaultyClew, load: Load, chance: random.Random) -> None:
    """Kill it after an insert and before the count, and then in every step of the reload."""
    clew.kill()
    clew.switch_on("kill", f"{MOMENTS['after the insert']} name='traces'")
    clew.start()
    clew.wait_until_dead()
    for step in RELOAD_STEPS:
        clew.switch_on("kill", f"after clew.storage.ingest:Ingest.{step}")
        clew.start_without_waiting()
        clew.wait_until_dead()
    clew.start()


def test_each_end_once(clew: FaultyClew) -> None:
    chance = random.Random(1)
    with Load(book := Book(), clew) as load:
        kill_at("before the removal")(clew, load, chance)
        kill_during_recovery(1)(clew, load, chance)
        terminate_with_a_stuck_engine(clew, load, chance)
    check(clew, book, at_least=30)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("end", "times"),
    [
        (kill, CYCLES),
        (kill_during_recovery(20), 1),
        (kill_during_reload, 2),
        (terminate, 100),
        (terminate_with_a_stuck_engine, 10),
        *((kill_at(moment), 2) for moment in MOMENTS),
    ],
    ids=[
        *("killed", "in recovery", "in reload", "terminated", "terminated, engine stuck"),
        *MOMENTS,
    ],
)
def test_many_times(clew: FaultyClew, end: End, times: int) -> None:
    chance = random.Random(times)
    with Load(book := Book(), clew) as load:
        for _ in range(times):
            end(clew, load, chance)
    check(clew, book)
