"""The loader when something is wrong: nothing is lost, and nobody waits for the one that is at fault."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_ingest_exactly_once import spans_stored, traces

from clew.collector import deadletter
from clew.collector.loader import Loader
from clew.collector.segment import DAMAGED, REFUSED, Segment
from clew.storage import Ingest, InsertError, Store, Stored, Unacceptable
from support.loading import rows, seal_segment, sides_equal_their_base, wait_until_drained


class Picky:
    """The real ingest, refusing every file in which `poison` stands, or while `broken` says so."""

    def __init__(self, ingest: Ingest, poison: bytes = b"\0never\0") -> None:
        self._ingest = ingest
        self._poison = poison
        self.broken: Callable[[], bool] = lambda: False
        self.attempts: list[str] = []

    def load(self, signal: Any, path: Path, *arguments: Any) -> dict[str, Stored]:
        self._check("load", path)
        return self._ingest.load(signal, path, *arguments)

    def reload(self, signal: Any, path: Path, *arguments: Any) -> dict[str, Stored]:
        self._check("reload", path)
        return self._ingest.reload(signal, path, *arguments)

    def count(self, *arguments: Any) -> dict[str, Stored]:
        return self._ingest.count(*arguments)

    def _check(self, what: str, path: Path) -> None:
        self.attempts.append(f"{what} {path.stem.partition('-')[0]}")
        if self.broken():
            raise InsertError("the engine takes nothing")
        if self._poison in path.read_bytes():
            raise Unacceptable("Code: 444. poison")


class Finished(list[tuple[Segment, dict[str, Stored]]]):
    def __call__(self, segment: Segment, stored: Any) -> None:
        self.append((segment, stored))
        segment.drop()


def run(loader: Loader, *segments: Segment) -> None:
    for segment in segments:
        loader.offer(segment)
    loader.start()
    wait_until_drained(loader)
    assert loader.close()


def poisoned(seed: int) -> bytes:
    return traces(seed).replace(b"operation 1", b"operation X")


def test_poison_is_found_by_halves_and_set_aside_with_its_reason(
    store: Store, ingest: Ingest, tmp_path: Path
) -> None:
    bodies = [traces(number, 20) for number in range(9)]
    bodies[2], bodies[7] = poisoned(2), poisoned(7)
    segment = seal_segment(tmp_path / "spool", "traces", *bodies)
    finished = Finished()
    loader = Loader(
        Picky(ingest, b"operation X"), loaded=finished, dead_letters=tmp_path / "dead-letter"
    )
    run(loader, segment, seal_segment(tmp_path / "next", "traces", traces(20)))
    assert spans_stored(store) == (7 * 60 + 1200, 7 * 60 + 1200)
    assert sides_equal_their_base(store)
    letters = deadletter.found(tmp_path / "dead-letter")
    assert sorted(letter.body() for letter in letters) == sorted([bodies[2], bodies[7]])
    assert {(letter.signal, letter.items) for letter in letters} == {("traces", 1200)}
    assert all("Code: 444" in letter.reason for letter in letters)
    about = json.loads(letters[0].path.with_suffix(".json").read_text())
    assert about.keys() == {"signal", "items", "received", "reason"}
    ((loaded, stored),) = [each for each in finished if each[0].id == segment.id]
    assert loaded.rejected == {REFUSED: 2400}
    assert (loaded.received, sum(each.items for each in stored.values())) == (segment.items, 420)
    assert not list((tmp_path / "spool").rglob("*.*ing"))


def test_a_segment_that_is_refused_whole_is_set_aside_whole(
    store: Store, ingest: Ingest, tmp_path: Path
) -> None:
    finished = Finished()
    folder = tmp_path / "dead-letter"
    loader = Loader(Picky(ingest, b"operation X"), loaded=finished, dead_letters=folder)
    run(loader, seal_segment(tmp_path, "traces", poisoned(1)))
    assert spans_stored(store) == (0, 0)
    assert [letter.items for letter in deadletter.found(folder)] == [1200]
    assert [(segment.items, segment.refused) for segment, _ in finished] == [(0, 1200)]


def test_an_engine_that_refuses_even_nothing_is_not_held_against_the_requests(
    store: Store, ingest: Ingest, tmp_path: Path
) -> None:
    class Confused(Picky):
        def _check(self, what: str, path: Path) -> None:
            self.attempts.append(what)
            if len(self.attempts) < 12:
                raise Unacceptable("Code: 117. anything")

    folder = tmp_path / "dead-letter"
    run(Loader(Confused(ingest), dead_letters=folder), seal_segment(tmp_path, "traces", traces(1)))
    assert spans_stored(store) == (1200, 1200)
    assert deadletter.found(folder) == []


def test_neighbours_of_a_segment_that_never_loads_go_on(
    store: Store, ingest: Ingest, tmp_path: Path
) -> None:
    class Stubborn(Picky):
        def _check(self, what: str, path: Path) -> None:
            super()._check(what, path)
            if path.stem.startswith(never):
                raise InsertError("Code: 241. memory limit exceeded")

    sink = Stubborn(ingest)
    bad = seal_segment(tmp_path / "bad", "traces", traces(1))
    never = f"{bad.id:020}"
    loader = Loader(sink)
    loader.offer(bad)
    loader.start()
    for number in range(4):
        loader.offer(seal_segment(tmp_path / str(number), "traces", traces(10 + number, 10)))
    deadline = time.monotonic() + 30
    while spans_stored(store)[0] < 120:
        assert time.monotonic() < deadline, sink.attempts
        time.sleep(0.05)
    assert not loader.drained()
    never = "now"
    wait_until_drained(loader)
    assert loader.close()
    assert spans_stored(store) == (1320, 1320)
    assert sides_equal_their_base(store)


def test_an_engine_that_is_down_leaves_few_segments_ambiguous(
    store: Store, ingest: Ingest, tmp_path: Path
) -> None:
    sink = Picky(ingest)
    down_until = time.monotonic() + 1.5
    sink.broken = lambda: time.monotonic() < down_until
    segments = [
        seal_segment(tmp_path / str(number), "traces", traces(number, 5)) for number in range(20)
    ]
    ambiguous: list[int] = []

    def watch() -> None:
        while time.monotonic() < down_until:
            time.sleep(0.01)
        ambiguous.append(len(list(tmp_path.rglob("*.loading"))))

    watching = threading.Thread(target=watch)
    watching.start()
    run(Loader(sink), *segments)
    watching.join()
    assert spans_stored(store) == (300, 300)
    assert ambiguous[0] < 6
    assert sides_equal_their_base(store)


def test_damage_costs_what_is_damaged(store: Store, ingest: Ingest, tmp_path: Path) -> None:
    segment = seal_segment(tmp_path, "traces", *(traces(number, 20) for number in range(5)))
    content = bytearray(segment.path.read_bytes())
    content[len(content) // 2] ^= 1
    segment.path.write_bytes(content)
    finished = Finished()
    run(Loader(ingest, loaded=finished), segment)
    assert spans_stored(store) == (240, 240)
    assert finished[0][0].rejected == {DAMAGED: 60}


def test_while_it_is_paused_nothing_is_inserted(
    store: Store, ingest: Ingest, tmp_path: Path
) -> None:
    loader = Loader(ingest)
    loader.start()
    with loader.paused():
        loader.offer(seal_segment(tmp_path, "traces", traces(1)))
        time.sleep(0.3)
        assert spans_stored(store) == (0, 0)
    wait_until_drained(loader)
    assert loader.close()
    assert spans_stored(store) == (1200, 1200)


def test_paused_and_reloaded_waits_for_what_is_partly_loaded(
    store: Store, ingest: Ingest, tmp_path: Path
) -> None:
    picky = Picky(ingest)
    picky.broken = lambda: True
    loader = Loader(picky)
    loader.offer(seal_segment(tmp_path, "traces", traces(1)))
    loader.start()
    while len(picky.attempts) < 2:
        time.sleep(0.01)
    with pytest.raises(TimeoutError), loader.paused(reloaded_within=0.3):
        pass
    picky.broken = lambda: False
    with loader.paused(reloaded_within=30):
        assert spans_stored(store) == (1200, 1200)
    wait_until_drained(loader)
    assert loader.close()


def test_closing_does_not_wait_for_an_insert_that_does_not_end(tmp_path: Path) -> None:
    stuck = threading.Event()

    class Stuck:
        def load(self, *arguments: Any) -> dict[str, Stored]:
            stuck.wait(30)
            raise InsertError("too late")

        reload = count = load

    loader = Loader(Stuck())
    loader.start()
    loader.offer(seal_segment(tmp_path, "traces", traces(1, 1)))
    time.sleep(0.1)
    assert loader.close(0.1) is False
    stuck.set()
    assert loader.close()
    assert [path.suffix for path in (tmp_path / "traces").iterdir()] == [".loading"]


def test_what_was_loaded_but_not_entered_is_counted_again(
    store: Store, ingest: Ingest, tmp_path: Path
) -> None:
    kept: list[Segment] = []
    loader = Loader(ingest, loaded=lambda segment, stored: kept.append(segment))
    run(loader, seal_segment(tmp_path, "traces", traces(1)))
    (found,) = kept
    assert found.loaded
    finished = Finished()
    run(Loader(ingest, loaded=finished), found)
    assert sum(each.items for each in finished[0][1].values()) == 1200
    assert {row["n"] for row in rows(store, "SELECT count() AS n FROM otel.otel_traces")} == {1200}
