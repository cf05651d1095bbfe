"""The spool: whole records survive a crash, torn ones are cut off, and nothing is acknowledged before it is
synced."""

from __future__ import annotations

import asyncio
import errno
import os
import struct
import threading
from pathlib import Path

import pytest

from clew.collector import spool as spool_module
from clew.collector.limits import Footprint, Overloaded
from clew.collector.otlp import Batch
from clew.collector.segment import Segment, encode_record, encode_seal, read_intact_records
from clew.collector.spool import Spool


def body(size: int, fill: bytes = b"x") -> bytes:
    """A request of one resource of `size` bytes."""
    length = size
    encoded = bytearray()
    while length > 0x7F:
        encoded.append(length & 0x7F | 0x80)
        length >>= 7
    encoded.append(length)
    return b"\x0a" + bytes(encoded) + fill * size


BATCHES = [Batch(body(3), 1), Batch(body(200) + body(0), 7), Batch(body(20_000), 512)]
CONTENT = b"".join(batch.body + encode_record(batch) for batch in BATCHES)


class Sealed(list[Segment]):
    """The segments that the spool has sealed."""

    def items(self) -> int:
        return sum(segment.items for segment in self)


def write(directory: Path, batches: list[Batch]) -> Sealed:
    """Open a spool, append the batches concurrently, and close it."""
    sealed = Sealed()
    spool = Spool(directory, ("traces",), sealed.append)

    async def append() -> None:
        await asyncio.gather(*(spool.append("traces", batch) for batch in batches))

    asyncio.run(append())
    spool.close()
    return sealed


def recover(directory: Path) -> Sealed:
    sealed = Sealed()
    Spool(directory, ("traces",), sealed.append).close()
    return sealed


def leave_open(directory: Path, content: bytes) -> None:
    """Write the open segment of a process that was killed."""
    (directory / "traces").mkdir(parents=True, exist_ok=True)
    (directory / "traces" / f"{1:020}.open").write_bytes(content)


def test_a_segment_is_requests_with_their_records_and_a_seal(tmp_path: Path) -> None:
    (segment,) = write(tmp_path, BATCHES)
    assert segment.items == 520
    assert segment.path.read_bytes() == CONTENT + encode_seal(segment.id)
    assert list(segment.batches()) == BATCHES
    assert segment.path.name == f"{segment.id:020}-520.sealed"


def test_the_seal_is_field_1000_and_the_record_field_1001() -> None:
    assert encode_seal(7) == b"\xc1\x3e" + struct.pack("<Q", 7)
    assert encode_record(Batch(b"\x0a\x00", 1))[:3] == b"\xca\x3e\x18"


def test_a_request_that_comes_alone_is_written_where_it_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the first one, before which nothing is known of the disk, and none of several."""
    threads: list[threading.Thread] = []
    sync = os.fdatasync

    def record(file: int) -> None:
        threads.append(threading.current_thread())
        sync(file)

    monkeypatch.setattr(os, "fdatasync", record)
    monkeypatch.setattr(spool_module, "SHORT_WRITE", 60.0)
    sealed = Sealed()
    spool = Spool(tmp_path, ("traces",), sealed.append, lambda signal: False)

    async def append() -> None:
        await spool.append("traces", BATCHES[0])
        with spool._writers["traces"]._writing:  # the thread answers just before it is done
            pass
        monkeypatch.setattr(spool_module, "LONE_AFTER", 0.0)
        await spool.append("traces", BATCHES[1])
        monkeypatch.setattr(spool_module, "LONE_AFTER", 60.0)
        await spool.append("traces", BATCHES[2])

    asyncio.run(append())
    spool.close()
    here = threading.current_thread()
    assert [thread is here for thread in threads] == [False, True, False]
    (segment,) = sealed
    assert list(segment.batches()) == BATCHES


@pytest.mark.parametrize("failing", ["fdatasync", "writev"])
def test_a_request_that_comes_alone_is_refused_when_it_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    monkeypatch.setattr(spool_module, "SHORT_WRITE", 60.0)
    monkeypatch.setattr(spool_module, "LONE_AFTER", 0.0)
    sealed = Sealed()
    spool = Spool(tmp_path, ("traces",), sealed.append, lambda signal: False)

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "broken")

    async def append() -> None:
        await spool.append("traces", BATCHES[0])
        with monkeypatch.context() as context:
            context.setattr(os, failing, fail)
            with pytest.raises(Overloaded, match="cannot be written"):
                await spool.append("traces", BATCHES[1])
        assert not spool.accepts()
        await spool.append("traces", BATCHES[2])
        assert spool.accepts()

    asyncio.run(append())
    spool.close()
    assert [list(segment.batches()) for segment in sealed] == [[BATCHES[0]], [BATCHES[2]]]


@pytest.mark.parametrize("cut", [*range(1, len(encode_record(BATCHES[0])) + 6), 100, 20_000])
def test_a_torn_tail_is_cut_off_after_the_last_whole_record(tmp_path: Path, cut: int) -> None:
    end = len(CONTENT) - len(BATCHES[-1].body) - len(encode_record(BATCHES[-1]))
    leave_open(tmp_path, CONTENT[: len(CONTENT) - cut])
    (segment,) = recover(tmp_path)
    assert list(segment.batches()) == BATCHES[:-1]
    assert segment.path.read_bytes() == CONTENT[:end] + encode_seal(1)


def test_reading_intact_records_stops_at_a_flipped_bit() -> None:
    for position in (1, 40, len(CONTENT) // 2, len(CONTENT) - 5):
        damaged = bytearray(CONTENT)
        damaged[position] ^= 4
        intact = [
            Batch(bytes(damaged[start:end]), items)
            for start, end, items in read_intact_records(damaged)
        ]
        assert intact == BATCHES[: len(intact)]
        assert len(intact) < len(BATCHES)


def test_a_segment_that_was_sealed_but_not_renamed_is_sealed_once(tmp_path: Path) -> None:
    leave_open(tmp_path, CONTENT + encode_seal(1))
    (segment,) = recover(tmp_path)
    assert segment.path.read_bytes() == CONTENT + encode_seal(1)
    assert segment.items == 520


@pytest.mark.parametrize("content", [b"", b"\x0a", b"\xff" * 50, encode_seal(1)])
def test_a_file_without_a_whole_record_is_removed(tmp_path: Path, content: bytes) -> None:
    leave_open(tmp_path, content)
    assert recover(tmp_path) == []
    assert list((tmp_path / "traces").iterdir()) == []


def test_ambiguous_segments_come_first(tmp_path: Path) -> None:
    (first,) = write(tmp_path, BATCHES[:1])
    (second,) = [segment for segment in write(tmp_path, BATCHES[1:]) if segment.id != first.id]
    second.mark_loading()
    recovered = [(segment.id, segment.ambiguous) for segment in recover(tmp_path)]
    assert recovered == [(second.id, True), (first.id, False)]


def test_ids_ascend_even_if_the_clock_goes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (first,) = write(tmp_path, BATCHES[:1])
    monkeypatch.setattr(spool_module.time, "time_ns", lambda: 1)
    segments = write(tmp_path, BATCHES[:1])
    assert [segment.id > first.id for segment in segments] == [False, True]


def test_rewriting_keeps_records_and_seal(tmp_path: Path) -> None:
    (segment,) = write(tmp_path, BATCHES)
    segment.rewrite(lambda request: request + body(1))
    changed = [Batch(batch.body + body(1), batch.items) for batch in BATCHES]
    assert list(segment.batches()) == changed
    assert segment.path.read_bytes().endswith(encode_seal(segment.id))
    segment.path.with_suffix(".rewriting").write_bytes(b"cut off")
    assert [list(segment.batches()) for segment in recover(tmp_path)] == [changed]


def test_rewriting_a_damaged_segment_fails_and_changes_nothing(tmp_path: Path) -> None:
    (segment,) = write(tmp_path, BATCHES)
    damaged = bytearray(segment.path.read_bytes())
    damaged[len(BATCHES[0].body) + len(encode_record(BATCHES[0])) + 5] ^= 1
    segment.path.write_bytes(damaged)
    with pytest.raises(OSError, match="513 of its 520 items can be read"):
        segment.rewrite(lambda request: request)
    assert segment.path.read_bytes() == damaged


def test_one_sync_serves_all_waiting_requests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncs = []
    fdatasync = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda file: (syncs.append(file), fdatasync(file))[1])
    sealed = write(tmp_path, BATCHES * 50)
    assert sealed.items() == 520 * 50
    assert len(syncs) < 50


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_batch_that_cannot_be_synced_is_refused_and_not_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    fdatasync = os.fdatasync
    failing = [True]

    def fail_once(file: int) -> None:
        if failing and failing.pop():
            raise OSError(code, os.strerror(code))
        fdatasync(file)

    sealed = Sealed()
    spool = Spool(tmp_path, ("traces",), sealed.append)

    async def append() -> None:
        await spool.append("traces", BATCHES[0])
        monkeypatch.setattr(os, "fdatasync", fail_once)
        with pytest.raises(Overloaded, match=os.strerror(code)):
            await spool.append("traces", BATCHES[1])
        await spool.append("traces", BATCHES[2])

    asyncio.run(append())
    spool.close()
    stored = [batch for segment in sealed for batch in segment.batches()]
    assert stored == [BATCHES[0], BATCHES[2]]


def test_a_closed_spool_refuses_requests(tmp_path: Path) -> None:
    spool = Spool(tmp_path, ("traces",), Sealed().append)
    spool.close()
    with pytest.raises(Overloaded):
        asyncio.run(spool.append("traces", BATCHES[0]))


def test_a_segment_stays_open_while_the_loader_is_busy(tmp_path: Path) -> None:
    sealed = Sealed()
    spool = Spool(tmp_path, ("traces",), sealed.append, lambda signal: False)

    async def append() -> None:
        await spool.append("traces", BATCHES[0])
        await asyncio.sleep(1.5 * spool_module.SEGMENT_AGE)

    asyncio.run(append())
    assert sealed == []
    spool.close()
    assert sealed.items() == 1


async def wait_for(sealed: Sealed) -> None:
    for _ in range(3000):
        if sealed:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("nothing was sealed")


def test_a_segment_is_sealed_when_it_is_asked_for(tmp_path: Path) -> None:
    sealed = Sealed()
    spool = Spool(tmp_path, ("traces",), sealed.append, age=3600.0)

    async def append() -> None:
        await spool.append("traces", BATCHES[0])
        (path,) = (tmp_path / "traces").iterdir()
        segment = int(path.stem)
        spool.seal("traces", segment - 1)  # an earlier one: this one stays open
        await asyncio.sleep(0.05)
        assert sealed == []
        spool.seal("traces", segment)
        await wait_for(sealed)

    asyncio.run(append())
    assert sealed.items() == 1
    spool.close()


def test_a_segment_does_not_wait_while_half_of_the_limit_is_used(tmp_path: Path) -> None:
    sealed = Sealed()
    spool = Spool(tmp_path, ("traces",), sealed.append, limit=20_000, age=3600.0)

    async def append() -> None:
        await spool.append("traces", BATCHES[2])
        await wait_for(sealed)

    asyncio.run(append())
    spool.close()


@pytest.mark.parametrize("alone", [0.0, 60.0], ids=["written alone", "written by the thread"])
def test_a_segment_does_not_wait_once_it_is_worth_loading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alone: float
) -> None:
    monkeypatch.setattr(spool_module, "WORTH_LOADING", 20_000)
    monkeypatch.setattr(spool_module, "LONE_AFTER", alone)
    monkeypatch.setattr(spool_module, "SHORT_WRITE", 60.0)
    sealed = Sealed()
    spool = Spool(tmp_path, ("traces",), sealed.append, age=3600.0)

    async def append() -> None:
        await spool.append("traces", BATCHES[0])
        assert sealed == []
        with spool._writers["traces"]._writing:  # the thread answers just before it is done
            pass
        await spool.append("traces", BATCHES[2])
        await wait_for(sealed)

    asyncio.run(append())
    spool.close()


def test_at_its_limit_the_spool_refuses_until_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Footprint, "MAX_AGE", 0.0)
    sealed = Sealed()
    spool = Spool(tmp_path, ("traces", "logs"), sealed.append, limit=20_000)

    async def append() -> None:
        await spool.append("traces", BATCHES[2])
        for signal in ("traces", "logs"):
            with pytest.raises(Overloaded, match="does not keep up"):
                await spool.append(signal, BATCHES[0])
        assert not spool.accepts()
        # Later it is ready again without a request: a load balancer sends none while it is not.
        monkeypatch.setattr(spool_module, "REFUSAL", 0.0)
        assert spool.accepts()
        monkeypatch.undo()
        monkeypatch.setattr(Footprint, "MAX_AGE", 0.0)
        await asyncio.sleep(2 * spool_module.SEGMENT_AGE)
        sealed[0].remove()
        for signal in ("traces", "logs"):
            await spool.append(signal, BATCHES[0])
        assert spool.accepts()

    asyncio.run(append())
    spool.close()
    assert sealed.items() == 514
