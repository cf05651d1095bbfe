"""The loader under faults: nothing is lost, and a segment that cannot be loaded does not delay the others."""

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
from clew.collector.segment import DAMAGED_IN_SPOOL, REFUSED_BY_ENGINE, Segment
from clew.storage import Ingest, InsertError, Store, StoredItems, Unacceptable
from support.loading import rows, seal_segment, sides_equal_their_base, wait_until_drained


class FaultyIngest:
    """The real ingest, which refuses every file that contains `poison`, and every file while
    `broken()`."""

    def __init__(self, ingest: Ingest, poison: bytes = b"\0never\0") -> None:
        self._ingest = ingest
        self._poison = poison
        self.broken: Callable[[], bool] = lambda: False
        self.attempts: list[str] = []

    def load(self, signal: Any, path: Path, *arguments: Any) -> dict[str, StoredItems]:
        self._check("load", path)
        return self._ingest.load(signal, path, *arguments)

    def reload(self, signal: Any, path: Path, *arguments: Any) -> dict[str, StoredItems]:
        self._check("reload", path)
        return self._ingest.reload(signal, path, *arguments)

    def count(self, *arguments: Any) -> dict[str, StoredItems]:
        return self._ingest.count(*arguments)

    def _check(self, method: str, path: Path) -> None:
        self.attempts.append(f"{method} {path.stem.partition('-')[0]}")
        if self.broken():
            raise InsertError("the engine is down")
        if self._poison in path.read_bytes():
            raise Unacceptable("Code: 444. poison")


class LoadedSegments(list[tuple[Segment, dict[str, StoredItems]]]):
    """An `on_loaded` that records its calls and removes the files."""

    def __call__(self, segment: Segment, stored: Any) -> None:
        self.append((segment, stored))
        segment.remove()


def run(loader: Loader, *segments: Segment) -> None:
    """Load the segments; returns once all are in the tables."""
    for segment in segments:
        loader.offer(segment)
    loader.start()
    wait_until_drained(loader)
    assert loader.close()


def poisoned(seed: int) -> bytes:
    return traces(seed).replace(b"operation 1", b"operation X")


def test_refused_requests_are_found_by_bisection_and_set_aside_with_the_reason(
    store: Store, ingest: Ingest, tmp_path: Path
) -> None:
    bodies = [traces(number, 20) for number in range(9)]
    bodies[2], bodies[7] = poisoned(2), poisoned(7)
    segment = seal_segment(tmp_path / "spool", "traces", *bodies)
    loaded_segments = LoadedSegments()
    loader = Loader(
        FaultyIngest(ingest, b"operation X"),
        on_loaded=loaded_segments,
        dead_letters=tmp_path / "dead-letter",
    )
    run(loader, segment, seal_segment(tmp_path / "next", "traces", traces(20)))
    assert spans_stored(store) == (7 * 60 + 1200, 7 * 60 + 1200)
    assert sides_equal_their_base(store)
    letters = deadletter.read_letters(tmp_path / "dead-letter")
    assert sorted(letter.body() for letter in letters) == sorted([bodies[2], bodies[7]])
    assert {(letter.signal, letter.items) for letter in letters} == {("traces", 1200)}
    assert all("Code: 444" in letter.reason for letter in letters)
    metadata = json.loads(letters[0].path.with_suffix(".json").read_text())
    assert metadata.keys() == {"signal", "items", "received", "reason"}
    ((loaded, stored),) = [entry for entry in loaded_segments if entry[0].id == segment.id]
    assert loaded.rejected == {REFUSED_BY_ENGINE: 2400}
    assert (loaded.received, sum(service.items for service in stored.values())) == (
        segment.items,
        420,
    )
    assert not list((tmp_path / "spool").rglob("*.*ing"))


def test_a_segment_of_one_refused_request_is_set_aside(
    store: Store, ingest: Ingest, tmp_path: Path
) -> None:
    loaded_segments = LoadedSegments()
    folder = tmp_path / "dead-letter"
    loader = Loader(
        FaultyIngest(ingest, b"operation X"), on_loaded=loaded_segments, dead_letters=folder
    )
    run(loader, seal_segment(tmp_path, "traces", poisoned(1)))
    assert spans_stored(store) == (0, 0)
    assert [letter.items for letter in deadletter.read_letters(folder)] == [1200]
    assert [(segment.items, segment.refused) for segment, _ in loaded_segments] == [(0, 1200)]


def test_no_request_is_set_aside_while_the_engine_refuses_an_empty_segment(
    store: Store, ingest: Ingest, tmp_path: Path
) -> None:
    class RefusingIngest(FaultyIngest):
        def _check(self, method: str, path: Path) -> None:
            self.attempts.append(method)
            if len(self.attempts) < 12:
                raise Unacceptable("Code: 117. anything")

    folder = tmp_path / "dead-letter"
    run(
        Loader(RefusingIngest(ingest), dead_letters=folder),
        seal_segment(tmp_path, "traces", traces(1)),
    )
    assert spans_stored(store) == (1200, 1200)
    assert deadletter.read_letters(folder) == []


def test_other_segments_are_loaded_beside_one_that_cannot_be(
    store: Store, ingest: Ingest, tmp_path: Path
) -> None:
    class FailingIngest(FaultyIngest):
        def _check(self, method: str, path: Path) -> None:
            super()._check(method, path)
            if path.stem.startswith(failing_id):
                raise InsertError("Code: 241. memory limit exceeded")

    sink = FailingIngest(ingest)
    bad = seal_segment(tmp_path / "bad", "traces", traces(1))
    failing_id = f"{bad.id:020}"
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
    failing_id = "none"
    wait_until_drained(loader)
    assert loader.close()
    assert spans_stored(store) == (1320, 1320)
    assert sides_equal_their_base(store)


def test_few_segments_become_ambiguous_while_the_engine_is_down(
    store: Store, ingest: Ingest, tmp_path: Path
) -> None:
    sink = FaultyIngest(ingest)
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


def test_only_damaged_requests_are_lost(store: Store, ingest: Ingest, tmp_path: Path) -> None:
    segment = seal_segment(tmp_path, "traces", *(traces(number, 20) for number in range(5)))
    content = bytearray(segment.path.read_bytes())
    content[len(content) // 2] ^= 1
    segment.path.write_bytes(content)
    loaded_segments = LoadedSegments()
    run(Loader(ingest, on_loaded=loaded_segments), segment)
    assert spans_stored(store) == (240, 240)
    assert loaded_segments[0][0].rejected == {DAMAGED_IN_SPOOL: 60}


def test_nothing_is_inserted_while_the_loader_is_paused(
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


def test_pausing_waits_until_ambiguous_segments_are_reloaded(
    store: Store, ingest: Ingest, tmp_path: Path
) -> None:
    sink = FaultyIngest(ingest)
    sink.broken = lambda: True
    loader = Loader(sink)
    loader.offer(seal_segment(tmp_path, "traces", traces(1)))
    loader.start()
    while len(sink.attempts) < 2:
        time.sleep(0.01)
    with pytest.raises(TimeoutError), loader.paused(reloaded_within=0.3):
        pass
    sink.broken = lambda: False
    with loader.paused(reloaded_within=30):
        assert spans_stored(store) == (1200, 1200)
    wait_until_drained(loader)
    assert loader.close()


def test_closing_loads_what_was_offered_while_there_is_time(
    store: Store, ingest: Ingest, tmp_path: Path
) -> None:
    loader = Loader(ingest)
    loader.start()
    for number in range(1, 6):
        loader.offer(seal_segment(tmp_path / str(number), "traces", traces(number)))
    assert loader.close(60.0, drain=60.0)
    assert loader.drained()
    assert spans_stored(store) == (6000, 6000)


def test_closing_does_not_wait_for_an_insert_that_never_ends(tmp_path: Path) -> None:
    release = threading.Event()

    class StuckIngest:
        def load(self, *arguments: Any) -> dict[str, StoredItems]:
            release.wait(30)
            raise InsertError("released")

        reload = count = load

    loader = Loader(StuckIngest())
    loader.start()
    loader.offer(seal_segment(tmp_path, "traces", traces(1, 1)))
    time.sleep(0.1)
    assert loader.close(0.1) is False
    release.set()
    assert loader.close()
    assert [path.suffix for path in (tmp_path / "traces").iterdir()] == [".loading"]


def test_a_loaded_segment_that_is_not_in_the_ledger_is_counted_again(
    store: Store, ingest: Ingest, tmp_path: Path
) -> None:
    loaded: list[Segment] = []
    loader = Loader(ingest, on_loaded=lambda segment, stored: loaded.append(segment))
    run(loader, seal_segment(tmp_path, "traces", traces(1)))
    (segment,) = loaded
    assert segment.loaded
    loaded_segments = LoadedSegments()
    run(Loader(ingest, on_loaded=loaded_segments), segment)
    assert sum(service.items for service in loaded_segments[0][1].values()) == 1200
    assert {row["n"] for row in rows(store, "SELECT count() AS n FROM otel.otel_traces")} == {1200}


def test_reads_come_before_what_was_in_the_spool_at_the_start(
    store: Store, ingest: Ingest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The first segment spends what there is, and nothing comes in.
    monkeypatch.setattr("clew.collector.loader.RECOVERY_SHARE", 1e-9)
    monkeypatch.setattr("clew.collector.loader.RECOVERY_RESERVE", 0.0)
    sink, loaded = FaultyIngest(ingest), LoadedSegments()
    read = threading.Event()
    read.set()
    loader = Loader(sink, loaded, is_read=read.is_set)

    segments = [seal_segment(tmp_path / str(seed), "traces", traces(seed, 2)) for seed in range(4)]
    for segment in segments[:3]:
        loader.offer(segment)
    loader.start()
    try:
        loader.offer(segments[3])
        while not loaded:
            time.sleep(0.01)
        time.sleep(0.2)
        assert len(sink.attempts) == 1
        read.clear()
        wait_until_drained(loader)
        assert len(loaded) == 4
    finally:
        assert loader.close()


def test_what_comes_in_does_not_wait_long_behind_it(
    store: Store, ingest: Ingest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clew.collector.loader.RECOVERY_SHARE", 1e-9)
    monkeypatch.setattr("clew.collector.loader.RECOVERY_RESERVE", -1.0)
    loader = Loader(ingest, is_read=lambda: True)
    segments = [seal_segment(tmp_path / str(seed), "traces", traces(seed, 2)) for seed in range(7)]
    loader.offer(segments[0])
    loader.start()
    try:
        for segment in segments[1:]:
            loader.offer(segment)
        wait_until_drained(loader)
    finally:
        assert loader.close()
