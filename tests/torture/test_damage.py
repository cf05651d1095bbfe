"""Bytes of the spool that are not what was written: the loss is counted, the rest is kept."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import Spoilt
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from oracle import ITEMS, Book, Load, Stored, judge, ledger, unequal

from clew.collector import segment as segments
from clew.collector.otlp import Batch
from clew.collector.segment import Segment
from support.stored import wait_until_loaded

RECORD = len(segments.encode_record(Batch(b"", 0)))
BATCHES = [Batch(b"\x0a\x03abc", 1), Batch(b"\x0a\x00\x0a\x7f" + b"x" * 127, 5), Batch(b"\x0a\x2d" + b"y" * 45, 3)]  # fmt: skip


@pytest.fixture
def spoilt(tmp_path: Path) -> Iterator[Spoilt]:
    running = Spoilt(tmp_path / "data", stopped="")
    yield running
    running.switch_off("stopped")
    running.stop()


@pytest.mark.slow  # shorter in tests/integration/test_loader.py
@pytest.mark.parametrize("rounds", [5])
def test_flipped_bits(spoilt: Spoilt, rounds: int) -> None:
    """A few in every file. Only requests that were hit may be missing; each item of them is in the
    ledger, rejected as damaged."""
    book, chance = Book(), random.Random(rounds)
    hit: set[tuple[str, int]] = set()
    for _ in range(rounds):
        with Load(book, spoilt) as load:
            load.wait_for_answers(1)
        assert spoilt.stop() == 0  # which seals what is open
        for path in (spoilt.data / "spool").glob("*/*.*"):
            hit |= {(path.parent.name, number) for number in flip(path, chance)}
        spoilt.switch_off("stopped")
        spoilt.start()
        wait_until_loaded(spoilt.data)
        spoilt.switch_on("stopped")
    told = ledger(spoilt)
    assert spoilt.stop() == 0
    verdict = judge(book, stored := Stored.behind(f"chdb://{spoilt.data / 'db'}"))
    print(verdict, len(hit), "requests were hit")
    assert (
        unequal(told) == book.unexpected == verdict.doubled == verdict.torn == verdict.foreign == []
    )
    assert set(verdict.lost) <= hit
    assert verdict.sides
    for line in told:
        signal = line["signal"]
        lost = ITEMS * [each for each, _ in verdict.lost].count(signal)
        assert line["received"] == ITEMS * book.acknowledged[signal].total()
        assert line["reasons"] == ({"damaged_in_spool": lost} if lost else {})
        assert line["stored"] == stored.rows[signal] == line["received"] - lost
    assert verdict.lost


def flip(path: Path, chance: random.Random) -> set[int]:
    """Flip up to three bits in the file; the numbers of the requests that were hit."""
    data = bytearray(path.read_bytes())
    found = list(segments.read_intact_records(bytes(data)))
    at = [chance.randrange(len(data)) for _ in range(chance.randrange(1, 4))]
    hit = {
        number_of(path.parent.name, bytes(data[start:end]))
        for start, end, _ in found if any(start <= each < end + RECORD for each in at)
    }  # fmt: skip
    for each in at:
        data[each] ^= 1 << chance.randrange(8)
    path.write_bytes(data)
    return hit


def number_of(signal: str, body: bytes) -> int:
    """The number of a request (oracle.request)."""
    if signal == "traces":
        spans = ExportTraceServiceRequest.FromString(body).resource_spans[0].scope_spans[0].spans
        return int.from_bytes(spans[0].span_id, "big") >> 16
    if signal == "logs":
        logs = ExportLogsServiceRequest.FromString(body).resource_logs[0].scope_logs[0]
        return int.from_bytes(logs.log_records[0].span_id, "big") >> 16
    metrics = ExportMetricsServiceRequest.FromString(body).resource_metrics[0].scope_metrics[0]
    return int(metrics.metrics[0].sum.data_points[0].as_double) >> 16


def test_a_segment_cut_at_every_byte_of_its_last_record(tmp_path: Path) -> None:
    last, seal = BATCHES[-1], segments.encode_seal(7)
    whole = segments.encode_segment(BATCHES, 7)
    for cut in range(1, len(last.body) + RECORD + len(seal) + 1):
        expected = BATCHES if cut <= len(seal) else BATCHES[:-1]
        path = tmp_path / f"{7:020}-9.sealed"
        path.write_bytes(whole[:-cut])
        kept = Segment.from_path("traces", path).without_damage()
        assert list(kept.batches()) == expected
        assert (kept.received, kept.items) == (9, sum(batch.items for batch in expected))

        path = tmp_path / f"{7:020}.open"
        path.write_bytes(whole[:-cut])
        recovered = segments.recover_open(path, "traces")
        assert list(recovered.batches()) == expected
        recovered.remove()
        kept.remove()
