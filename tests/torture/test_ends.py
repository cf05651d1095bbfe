"""However clew ends, under load, what was acknowledged is stored exactly once.

Receiver, spool, loader and engine are one process, so kill -9 takes all of them at once.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from harness import Spoilt
from oracle import Book, Load, check, taking_seconds

# A cycle takes some six seconds. None lost in n cycles shows a rate below 3/n, no more (95 %).
CYCLES = int(os.environ.get("CLEW_TORTURE_CYCLES", "1000"))

MOMENTS = {
    "before the delete": "before clew.collector.segment:Segment.remove 3",
    "after the delete": "after clew.collector.segment:Segment.remove 3",
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
REPAIRS = ("_delete 1", "_rebuild_side_rows 1", "_rebuild_side_rows 2")


@pytest.fixture
def spoilt(tmp_path: Path) -> Iterator[Spoilt]:
    running = Spoilt(tmp_path / "data")
    yield running
    running.switch_off("stopped")
    running.stop()


# Each end leaves clew running again, on the same data.
End = Callable[[Spoilt, Load, random.Random], None]


def killed(clew: Spoilt, load: Load, chance: random.Random) -> None:
    time.sleep(chance.uniform(0.2, 2.0))
    clew.kill()
    clew.start()


def killed_while_it_recovers(times: int) -> End:
    """So many times in a row."""

    def end(clew: Spoilt, load: Load, chance: random.Random) -> None:
        load.wait_for_answers(0.2)
        clew.kill()
        for _ in range(times):
            clew.start_without_waiting()
            time.sleep(chance.uniform(0.8, 2.6))
            clew.kill()
        clew.start()

    return end


def terminated(clew: Spoilt, load: Load, chance: random.Random) -> None:
    time.sleep(chance.uniform(0.2, 1.0))
    with taking_seconds(10):
        assert clew.stop() == 0
    clew.start()


def terminated_while_the_engine_is_stuck(clew: Spoilt, load: Load, chance: random.Random) -> None:
    clew.switch_on("stopped")
    load.wait_for_answers(1.0)
    with taking_seconds(10):
        assert clew.stop() == 0
    clew.switch_off("stopped")
    clew.start()


def killed_at(moment: str) -> End:
    def end(clew: Spoilt, load: Load, chance: random.Random) -> None:
        clew.kill()
        clew.switch_on("kill", MOMENTS[moment])
        clew.start()
        clew.dies()
        clew.start()

    return end


def killed_while_it_repairs(clew: Spoilt, load: Load, chance: random.Random) -> None:
    """The engine has spans that nobody has counted; then these are half repaired, and so on."""
    clew.kill()
    clew.switch_on("kill", f"{MOMENTS['after the insert']} name='traces'")
    clew.start()
    clew.dies()
    for repair in REPAIRS:
        clew.switch_on("kill", f"after clew.storage.ingest:{repair}")
        clew.start_without_waiting()
        clew.dies()
    clew.start()


def test_each_end_once(spoilt: Spoilt) -> None:
    chance = random.Random(1)
    with Load(book := Book(), spoilt) as load:
        killed_at("before the delete")(spoilt, load, chance)
        killed_while_it_recovers(1)(spoilt, load, chance)
        terminated_while_the_engine_is_stuck(spoilt, load, chance)
    check(spoilt, book, at_least=30)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("end", "times"),
    [
        (killed, CYCLES),
        (killed_while_it_recovers(20), 1),
        (killed_while_it_repairs, 2),
        (terminated, 100),
        (terminated_while_the_engine_is_stuck, 10),
        *((killed_at(moment), 2) for moment in MOMENTS),
    ],
    ids=[
        *("killed", "in recovery", "in repair", "terminated", "terminated, engine stuck"),
        *MOMENTS,
    ],
)
def test_many_times(spoilt: Spoilt, end: End, times: int) -> None:
    chance = random.Random(times)
    with Load(book := Book(), spoilt) as load:
        for _ in range(times):
            end(spoilt, load, chance)
    check(spoilt, book)
