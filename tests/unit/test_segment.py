"""Damaged segments: intact requests are kept, and the items of the others are counted."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from test_spool import BATCHES, CONTENT, body, leave_open, recover, write

from clew.collector.otlp import Batch
from clew.collector.segment import (
    DAMAGED_IN_SPOOL,
    Segment,
    encode_seal,
    encode_segment,
    read_intact_records,
)

BOUNDS = [(start, end) for start, end, _ in read_intact_records(CONTENT + encode_seal(1))]


def without(*numbers: int, batches: list[Batch] = BATCHES) -> list[Batch]:
    """The batches except those with these numbers."""
    return [batch for number, batch in enumerate(batches) if number not in numbers]


def flip(path: Path, position: int, bit: int = 4) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= bit
    path.write_bytes(content)


def test_an_intact_segment_is_not_rewritten(tmp_path: Path) -> None:
    (segment,) = write(tmp_path, BATCHES)
    assert segment.without_damage() is segment


@pytest.mark.parametrize("damaged", [0, 1, 2])
@pytest.mark.parametrize("place", ["tag", "middle", "record", "checksum"])
def test_a_damaged_request_is_counted_and_the_others_are_kept(
    tmp_path: Path, damaged: int, place: str
) -> None:
    (segment,) = write(tmp_path, BATCHES)
    start, end = BOUNDS[damaged]
    positions = {
        "tag": start,
        "middle": (start + end) // 2,
        "record": end + 1,
        "checksum": end + 25,
    }
    flip(segment.path, positions[place])
    repaired = segment.without_damage()
    assert list(repaired.batches()) == without(damaged)
    assert repaired.path.read_bytes() == encode_segment(without(damaged), segment.id)
    lost = BATCHES[damaged].items
    assert (repaired.items, repaired.damaged, repaired.received) == (520 - lost, lost, 520)
    assert repaired.rejected == {DAMAGED_IN_SPOOL: lost}
    assert not segment.path.exists()
    reopened = Segment.from_path("traces", repaired.path)
    assert reopened is not None
    assert (reopened, reopened.received) == (repaired, 520)
    assert reopened.without_damage() is reopened


def test_a_damaged_seal_is_written_again(tmp_path: Path) -> None:
    (segment,) = write(tmp_path, BATCHES)
    flip(segment.path, len(CONTENT) + 4)
    repaired = segment.without_damage()
    assert repaired.path.read_bytes() == CONTENT + encode_seal(segment.id)
    assert (repaired.items, repaired.damaged) == (520, 0)


@pytest.mark.parametrize("content", [b"", b"\0" * 4096, b"\xca\x3e\x18" * 3000])
def test_all_items_of_an_unreadable_segment_are_counted(tmp_path: Path, content: bytes) -> None:
    (segment,) = write(tmp_path, BATCHES)
    segment.path.write_bytes(content)
    repaired = segment.without_damage()
    assert (repaired.items, repaired.damaged) == (0, 520)
    assert repaired.path.read_bytes() == encode_seal(segment.id)


@pytest.mark.parametrize("damaged", [0, 1])
def test_a_damaged_request_of_an_open_segment_is_counted(tmp_path: Path, damaged: int) -> None:
    leave_open(tmp_path, CONTENT + body(50)[:20])
    start, end = BOUNDS[damaged]
    flip(tmp_path / "traces" / f"{1:020}.open", (start + end) // 2)
    (segment,) = recover(tmp_path)
    assert list(segment.batches()) == without(damaged)
    assert segment.damaged == BATCHES[damaged].items
    assert segment.received == 520


def test_random_damage_loses_only_damaged_requests(tmp_path: Path) -> None:
    chance = random.Random(1)
    batches = [
        Batch(body(chance.randrange(1, 400), chance.randbytes(1)), number + 1)
        for number in range(30)
    ]
    for run in range(60):
        (segment,) = write(tmp_path / str(run), batches)
        bounds = [(start, end) for start, end, _ in read_intact_records(segment.path.read_bytes())]
        damaged = set()
        for _ in range(chance.randrange(1, 5)):
            number = chance.randrange(len(batches))
            start, end = bounds[number]
            flip(segment.path, chance.randrange(start, end + 27), 1 << chance.randrange(8))
            damaged.add(number)
        repaired = segment.without_damage()
        assert list(repaired.batches()) == without(*damaged, batches=batches)
        assert repaired.received == segment.items


def test_requests_that_were_set_aside_are_counted_in_the_name(tmp_path: Path) -> None:
    (segment,) = write(tmp_path, BATCHES)
    flip(segment.path, 2)
    repaired = segment.mark_loading().without_damage().without([BATCHES[1]])
    assert repaired.path.name == f"{segment.id:020}-512-d1-r7.loading"
    assert list(repaired.batches()) == [BATCHES[2]]
    (recovered,) = recover(tmp_path)
    assert recovered == repaired
    assert recovered.ambiguous
    assert repaired.mark_loaded().loaded


def test_the_time_of_receipt_survives_every_rewrite(tmp_path: Path) -> None:
    (segment,) = write(tmp_path, BATCHES)
    segment.rewrite(lambda request: request + body(1))
    (recovered,) = recover(tmp_path)
    loaded = recovered.mark_loading().mark_loaded()
    assert loaded.received_at == pytest.approx(segment.received_at, abs=0.001)
    assert recovered.path.stem.startswith(str(segment.id).zfill(20))
