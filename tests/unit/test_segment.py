"""A segment on a disk that lies: what can be read is kept, what cannot is counted."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from test_spool import BATCHES, WHOLE, body, leave_open, recover, write

from clew.collector.otlp import Batch
from clew.collector.segment import DAMAGED, Segment, record, records, seal

BOUNDS = [(start, end) for start, end, _ in records(WHOLE + seal(1))]


def flip(path: Path, position: int, bit: int = 4) -> None:
    damaged = bytearray(path.read_bytes())
    damaged[position] ^= bit
    path.write_bytes(damaged)


def test_an_intact_segment_is_itself(tmp_path: Path) -> None:
    (segment,) = write(tmp_path, BATCHES)
    assert segment.without_damage() is segment


@pytest.mark.parametrize("damaged", [0, 1, 2])
@pytest.mark.parametrize("where", ["tag", "middle", "record", "checksum"])
def test_what_is_damaged_is_counted_and_the_rest_is_kept(
    tmp_path: Path, damaged: int, where: str
) -> None:
    (segment,) = write(tmp_path, BATCHES)
    start, end = BOUNDS[damaged]
    flip(
        segment.path,
        {"tag": start, "middle": (start + end) // 2, "record": end + 1, "checksum": end + 25}[
            where
        ],
    )
    kept = segment.without_damage()
    rest = [batch for number, batch in enumerate(BATCHES) if number != damaged]
    assert list(kept.batches()) == rest
    assert kept.path.read_bytes() == b"".join(b.body + record(b) for b in rest) + seal(segment.id)
    assert (kept.items, kept.damaged, kept.received) == (
        520 - BATCHES[damaged].items,
        BATCHES[damaged].items,
        520,
    )
    assert kept.rejected == {DAMAGED: BATCHES[damaged].items}
    assert not segment.path.exists()
    found = Segment.found("traces", kept.path)
    assert found is not None
    assert (found, found.received) == (kept, 520)
    assert found.without_damage() is found


def test_a_seal_that_is_damaged_is_written_again(tmp_path: Path) -> None:
    (segment,) = write(tmp_path, BATCHES)
    flip(segment.path, len(WHOLE) + 4)
    kept = segment.without_damage()
    assert kept.path.read_bytes() == WHOLE + seal(segment.id)
    assert (kept.items, kept.damaged) == (520, 0)


@pytest.mark.parametrize("content", [b"", b"\0" * 4096, b"\xca\x3e\x18" * 3000])
def test_a_segment_of_which_nothing_is_left(tmp_path: Path, content: bytes) -> None:
    (segment,) = write(tmp_path, BATCHES)
    segment.path.write_bytes(content)
    kept = segment.without_damage()
    assert (kept.items, kept.damaged) == (0, 520)
    assert kept.path.read_bytes() == seal(segment.id)


@pytest.mark.parametrize("damaged", [0, 1])
def test_damage_in_an_open_segment_costs_the_damaged_alone(tmp_path: Path, damaged: int) -> None:
    leave_open(tmp_path, WHOLE + body(50)[:20])
    start, end = BOUNDS[damaged]
    flip(tmp_path / "traces" / f"{1:020}.open", (start + end) // 2)
    (segment,) = recover(tmp_path)
    assert list(segment.batches()) == [b for n, b in enumerate(BATCHES) if n != damaged]
    assert segment.damaged == BATCHES[damaged].items
    assert segment.received == 520


def test_random_damage_never_loses_what_is_whole_nor_invents_anything(tmp_path: Path) -> None:
    chance = random.Random(1)
    batches = [
        Batch(body(chance.randrange(1, 400), chance.randbytes(1)), number + 1)
        for number in range(30)
    ]
    for round in range(60):
        directory = tmp_path / str(round)
        (segment,) = write(directory, batches)
        bounds = [(start, end) for start, end, _ in records(segment.path.read_bytes())]
        hit = set()
        for _ in range(chance.randrange(1, 5)):
            number = chance.randrange(len(batches))
            start, end = bounds[number]
            flip(segment.path, chance.randrange(start, end + 27), 1 << chance.randrange(8))
            hit.add(number)
        kept = segment.without_damage()
        assert list(kept.batches()) == [b for n, b in enumerate(batches) if n not in hit]
        assert kept.received == segment.items
        assert {b.body for b in kept.batches()} <= {b.body for b in batches}


def test_requests_that_were_set_aside_are_counted_in_its_name(tmp_path: Path) -> None:
    (segment,) = write(tmp_path, BATCHES)
    flip(segment.path, 2)
    kept = segment.begin().without_damage().without([BATCHES[1]])
    assert kept.path.name == f"{segment.id:020}-512-d1-r7.loading"
    assert list(kept.batches()) == [BATCHES[2]]
    (found,) = recover(tmp_path)
    assert found == kept
    assert found.ambiguous
    assert kept.finish().loaded


def test_when_it_began_outlasts_everything(tmp_path: Path) -> None:
    (segment,) = write(tmp_path, BATCHES)
    segment.rewrite(lambda each: each + body(1))
    (found,) = recover(tmp_path)
    assert found.begin().finish().began == pytest.approx(segment.began, abs=0.001)
    assert found.path.stem.startswith(str(segment.id).zfill(20))
