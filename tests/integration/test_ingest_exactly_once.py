"""A segment is in the tables exactly once, whatever an earlier attempt has left there."""

from __future__ import annotations

import random
import re
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from clew.collector import loader as loader_module
from clew.collector import otlp
from clew.collector.inflating import BadRequest
from clew.collector.loader import Loader
from clew.storage import SIGNALS, Ingest, InsertError, NestedValues, Store, StoredItems
from support.loading import load, rows, seal_segment, sides_equal_their_base, wait_until_drained

MINUTE = 60 * 10**9
START = 1_763_781_234_123_456_789 // MINUTE * MINUTE


def traces(seed: int, spans: int = 400, nested: bool = False) -> bytes:
    """Spans of 20 traces and 3 services, over 5 minutes. Seeds share trace ids, not span ids."""
    chance = random.Random(seed)
    request = ExportTraceServiceRequest()
    for service in ("a", "b", "c"):
        resource = request.resource_spans.add()
        resource.resource.attributes.add(key="service.name").value.string_value = service
        scope = resource.scope_spans.add()
        for _ in range(spans):
            began = START + chance.randrange(5 * MINUTE)
            span = scope.spans.add(
                trace_id=chance.randrange(1, 21).to_bytes(16, "big"), span_id=chance.randbytes(8),
                parent_span_id=chance.choice((b"", b"p" * 8)), name=f"operation {chance.randrange(4)}",
                kind=chance.randrange(6), start_time_unix_nano=began,
                end_time_unix_nano=began + chance.randrange(-5, 10**9),
            )  # fmt: skip
            span.status.code = chance.choice((0, 0, 2))
            if span.status.code:
                event = span.events.add(name="exception", time_unix_nano=began + 1)
                event.attributes.add(key="exception.type").value.string_value = service
            if nested:
                span.attributes.add(key="k").value.array_value.values.add().int_value = 1
    return request.SerializeToString()


@pytest.fixture(params=["direct", "landing"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How small segments are inserted: as rows decoded in Python, or as requests."""
    if request.param == "landing":
        monkeypatch.setattr("clew.storage.ingest.DIRECT_BYTES", 0)
    return str(request.param)


def refused_by_engine(way: str) -> Any:
    """A context in which bytes are loaded that the engine cannot parse and protobuf can."""
    return pytest.raises(InsertError) if way == "landing" else nullcontext()


def spans_stored(store: Store) -> tuple[int, int]:
    (row,) = rows(
        store, "SELECT count() AS n, uniqExact(TraceId, SpanId) AS u FROM otel.otel_traces"
    )
    return row["n"], row["u"]


@pytest.mark.parametrize(
    "damage",
    [
        [],  # the whole segment is stored
        ["DELETE FROM otel.otel_traces WHERE Segment = {id} AND SpanKind = 'Server'"],
        ["DELETE FROM otel.clew_traces WHERE SpanCount % 2 = 0"],
        ["DELETE FROM otel.clew_operations_1m WHERE SpanName = 'operation 1'"],
        ["DELETE FROM otel.clew_operations_1h WHERE SpanName = 'operation 1'"],
        ["DELETE FROM otel.clew_span_exceptions WHERE Segment = {id} AND Type = 'b'"],
        [
            "DELETE FROM otel.otel_traces WHERE Segment = {id}",
            "INSERT INTO otel.clew_operations_1m SELECT * FROM otel.clew_operations_1m",
        ],
    ],
    ids=[
        "whole",
        "base-part",
        "traces-part",
        "operations-part",
        "hours-part",
        "exceptions-part",
        "sides-only-and-twice",
    ],
)
def test_reloading_makes_it_exact(
    store: Store, ingest: Ingest, tmp_path: Path, damage: list[str]
) -> None:
    load(ingest, tmp_path / "before", ("traces", traces(1)))
    segment = seal_segment(tmp_path, "traces", traces(2))
    signal = SIGNALS["traces"]
    ingest.load(signal, segment.path, segment.id, segment.items, segment.received_at)
    with store.client() as client:
        for statement in damage:
            client.command(
                re.sub(
                    r"^(DELETE FROM) otel\.(\w+)",
                    lambda match: f"{match[1]} {store.cluster.shard_table(match[2])}",
                    statement.format(id=segment.id),
                )
            )
    ingest.reload(signal, segment.path, segment.id, segment.items, segment.received_at)
    assert spans_stored(store) == (2400, 2400)
    assert sides_equal_their_base(store)


@pytest.mark.parametrize("table", ["otel_traces", "clew_traces", "clew_operations_1m"])
def test_a_part_that_was_written_on_a_full_disk_is_loaded_again(
    store: Store, ingest: Ingest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    """The engine reports success, and all files of the part are empty."""
    load(ingest, tmp_path / "before", ("traces", traces(1)))
    segment = seal_segment(tmp_path, "traces", traces(2))
    arguments = (
        SIGNALS["traces"], segment.path, segment.id, segment.items, segment.received_at,
    )  # fmt: skip
    space = [1 << 30, 0]  # before and after the insert
    with monkeypatch.context() as full, pytest.raises(InsertError, match="has 0 MiB left"):
        full.setattr(Store, "free_space", lambda self: space.pop(0))
        ingest.load(*arguments)
    (newest,) = rows(
        store,
        "SELECT path FROM system.parts WHERE database = 'otel' AND active "
        f"AND table = '{table}' ORDER BY min_block_number DESC LIMIT 1",
    )
    for file in Path(newest["path"]).iterdir():
        file.write_bytes(b"")
    ingest.reload(*arguments)
    assert spans_stored(store) == (2400, 2400)
    assert sides_equal_their_base(store)


def test_the_engine_does_not_deduplicate_inserts(
    store: Store, ingest: Ingest, tmp_path: Path
) -> None:
    """A replicated table does so by default; here the tables get a deduplication window."""
    segment = seal_segment(tmp_path, "traces", traces(2))
    signal = SIGNALS["traces"]
    tables = ("otel_traces", *(side.name for side in signal.sides))
    window = "non_replicated_deduplication_window"
    with store.client() as client:
        for table in tables:
            client.command(
                f"ALTER TABLE {store.cluster.shard_table(table)} MODIFY SETTING {window} = 100"
            )
        for _ in range(3):
            ingest.reload(signal, segment.path, segment.id, segment.items, segment.received_at)
        for table in tables:
            client.command(f"ALTER TABLE {store.cluster.shard_table(table)} RESET SETTING {window}")
    assert spans_stored(store) == (1200, 1200)
    assert sides_equal_their_base(store)


@pytest.mark.parametrize("table", ["clew_traces", "clew_operations_1m"])
def test_an_insert_of_another_process_during_a_reload_is_detected(
    store: Store,
    ingest: Ingest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    table: str,
) -> None:
    segment, another = (
        seal_segment(tmp_path / str(seed), "traces", traces(seed)) for seed in (2, 3)
    )
    signal, delete = SIGNALS["traces"], Ingest._delete

    def load_another(self: Ingest, client: Any, from_table: str, *rest: Any) -> None:
        delete(self, client, from_table, *rest)
        if from_table == table:
            monkeypatch.setattr(Ingest, "_delete", delete)
            ingest.load(signal, another.path, another.id, another.items, another.received_at)

    monkeypatch.setattr(Ingest, "_delete", load_another)
    monkeypatch.setattr(store, "shared", True)
    with pytest.raises(InsertError, match="another process writes"):
        ingest.reload(signal, segment.path, segment.id, segment.items, segment.received_at)
    assert not sides_equal_their_base(store)
    ingest.reload(signal, segment.path, segment.id, segment.items, segment.received_at)
    assert spans_stored(store) == (2400, 2400)
    assert sides_equal_their_base(store)


def test_reloading_logs_rebuilds_their_exceptions_and_events(
    store: Store, ingest: Ingest, tmp_path: Path
) -> None:
    segments = [seal_segment(tmp_path / str(seed), "logs", logs(seed)) for seed in range(2)]
    for segment in segments:
        ingest.load(SIGNALS["logs"], segment.path, segment.id, segment.items, segment.received_at)
    with store.client() as client:
        client.command(
            "INSERT INTO otel.clew_log_exceptions "
            f"SELECT * FROM otel.clew_log_exceptions WHERE Segment = {segments[0].id}"
        )
        client.command("INSERT INTO otel.clew_log_events SELECT * FROM otel.clew_log_events")
    assert not sides_equal_their_base(store)
    segment = segments[0]
    ingest.reload(SIGNALS["logs"], segment.path, segment.id, segment.items, segment.received_at)
    assert rows(store, "SELECT count() AS n FROM otel.clew_log_exceptions") == [{"n": 40}]
    assert sides_equal_their_base(store)


def logs(seed: int) -> bytes:
    """30 records: 20 have a trace, and of those 10 report an exception; so do 10 without a trace. The
    first 10 are evaluations of a feature flag."""
    request = ExportLogsServiceRequest()
    scope = request.resource_logs.add().scope_logs.add()
    for number in range(30):
        record = scope.log_records.add(time_unix_nano=START + number)
        if number < 20:
            record.trace_id = bytes([seed + 1, number] * 8)
        if number >= 10:
            record.attributes.add(key="exception.type").value.string_value = "ValueError"
        else:
            record.attributes.add(key="feature_flag.key").value.string_value = "cart"
    return request.SerializeToString()


def test_reloading_a_segment_that_was_never_loaded_loads_it(
    store: Store, ingest: Ingest, tmp_path: Path
) -> None:
    segment = seal_segment(tmp_path, "traces", traces(3))
    for _ in range(2):
        ingest.reload(
            SIGNALS["traces"], segment.path, segment.id, segment.items, segment.received_at
        )
        assert spans_stored(store) == (1200, 1200)
        assert sides_equal_their_base(store)


@pytest.mark.usefixtures("way")
def test_nothing_of_a_segment_with_nested_values_is_stored(
    store: Store, ingest: Ingest, tmp_path: Path
) -> None:
    segment = seal_segment(tmp_path, "traces", traces(4, nested=True))
    with pytest.raises(NestedValues):
        ingest.load(SIGNALS["traces"], segment.path, segment.id, segment.items, segment.received_at)
    assert spans_stored(store) == (0, 0)
    assert sides_equal_their_base(store)


def test_items_without_a_time_keep_the_same_one_when_they_are_reloaded(
    store: Store, ingest: Ingest, tmp_path: Path
) -> None:
    """The time of receipt is part of the body: whenever a segment is loaded, its rows are the same,
    and the side rows by minute equal their base."""
    request = ExportTraceServiceRequest.FromString(traces(1, 20))
    for resource in request.resource_spans:
        for span in resource.scope_spans[0].spans:
            span.ClearField("start_time_unix_nano")
            span.ClearField("end_time_unix_nano")
    batch = otlp.decode_protobuf("traces", request.SerializeToString(), START)
    assert (batch.items, batch.mended) == (60, 60)
    segment = seal_segment(tmp_path, "traces", batch.body)
    arguments = (segment.path, segment.id, segment.items, segment.received_at)
    for insert in (ingest.load, ingest.reload):  # hours after START
        insert(SIGNALS["traces"], *arguments)
        times = "SELECT DISTINCT toUnixTimestamp64Nano(Timestamp) AS ns FROM otel.otel_traces"
        assert rows(store, times) == [{"ns": START}]
        assert spans_stored(store) == (60, 60)
        assert sides_equal_their_base(store)


def test_malformed_fields_are_left_out_and_everything_else_is_stored(
    store: Store, ingest: Ingest, tmp_path: Path, way: str
) -> None:
    """A span whose status is a number: protobuf takes it for an unknown field, while the engine
    refuses the file. The span, the others in its segment, and the next segment are stored."""
    request = ExportTraceServiceRequest()
    request.resource_spans.add().scope_spans.add().spans.add(
        name="odd", trace_id=b"t" * 16, span_id=b"s" * 8, start_time_unix_nano=START,
        end_time_unix_nano=START,
    )  # fmt: skip
    outline = otlp.MESSAGES["traces"].outline.FromString(request.SerializeToString())
    outline.resource_spans[0].scope_spans[0].spans[0] += b"\x78\x05"
    odd = outline.SerializeToString()
    segment = seal_segment(tmp_path / "odd", "traces", traces(7, 50), odd, traces(8, 50))
    with refused_by_engine(way):
        ingest.load(SIGNALS["traces"], segment.path, segment.id, segment.items, segment.received_at)
    loader = Loader(ingest)
    loader.offer(segment.mark_loading())
    loader.offer(seal_segment(tmp_path / "next", "traces", traces(9, 50)))
    loader.start()
    wait_until_drained(loader)
    loader.close()
    assert spans_stored(store) == (451, 451)
    assert [
        row["SpanName"]
        for row in rows(store, "SELECT SpanName FROM otel.otel_traces WHERE SpanName = 'odd'")
    ] == ["odd"]
    assert sides_equal_their_base(store)


def test_mutated_bodies_that_are_acknowledged_are_stored(
    store: Store, ingest: Ingest, tmp_path: Path, way: str
) -> None:
    """Everything that protobuf's parser accepts is stored; the engine refuses some of it at first."""
    chance = random.Random(10)
    accepted: list[bytes] = []
    while len(accepted) < 400:
        body = mutated(traces(chance.randrange(5), 1), chance)
        try:
            batch = otlp.decode_protobuf("traces", body)
            if batch.items:
                accepted.append(batch.body)
        except BadRequest:
            continue
    segment = seal_segment(tmp_path, "traces", *accepted)
    with refused_by_engine(way):
        ingest.load(SIGNALS["traces"], segment.path, segment.id, segment.items, segment.received_at)
    loader = Loader(ingest)
    loader.offer(segment.mark_loading())
    loader.start()
    wait_until_drained(loader)
    loader.close()
    assert spans_stored(store)[0] == segment.items


def mutated(body: bytes, chance: random.Random) -> bytes:
    """The body with up to three bytes changed, removed or added."""
    changed = bytearray(body)
    for _ in range(chance.randrange(1, 4)):
        position = chance.randrange(len(changed))
        match chance.randrange(3):
            case 0:
                changed[position] ^= 1 << chance.randrange(8)
            case 1:
                del changed[position : position + chance.randrange(1, 4)]
            case 2:
                changed[position:position] = chance.randbytes(chance.randrange(1, 4))
    return bytes(changed)


def test_loading_fails_when_the_count_of_rows_differs(
    store: Store, ingest: Ingest, tmp_path: Path
) -> None:
    segment = seal_segment(tmp_path, "traces", traces(5))
    with pytest.raises(InsertError, match="1200 of 1201"):
        ingest.load(
            SIGNALS["traces"], segment.path, segment.id, segment.items + 1, segment.received_at
        )


class UnreliableIngest:
    """The real ingest, of which 30 % of the calls fail before or after they have done their work."""

    def __init__(self, ingest: Ingest, chance: random.Random) -> None:
        self._ingest = ingest
        self._chance = chance
        self.faults = 0

    def load(self, *arguments: Any) -> dict[str, StoredItems]:
        self._fail_sometimes("before")
        stored = self._ingest.load(*arguments)
        self._fail_sometimes("after")
        return stored

    def reload(self, *arguments: Any) -> dict[str, StoredItems]:
        self._fail_sometimes("before")
        stored = self._ingest.reload(*arguments)
        self._fail_sometimes("after")
        return stored

    def _fail_sometimes(self, fault: str) -> None:
        if self._chance.random() < 0.3:
            self.faults += 1
            raise InsertError(fault)


def test_failed_calls_lose_and_duplicate_nothing(
    store: Store, ingest: Ingest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader_module, "LONGEST_PAUSE", 0.1)
    faulty = UnreliableIngest(ingest, random.Random(6))
    loader = Loader(faulty)
    for number in range(8):
        nested = number % 4 == 0
        loader.offer(seal_segment(tmp_path / str(number), "traces", traces(number, 100, nested)))
    loader.start()
    wait_until_drained(loader)
    loader.close()
    assert faulty.faults > 0
    assert spans_stored(store) == (2400, 2400)
    assert sides_equal_their_base(store)
    assert not list(tmp_path.rglob("*.*ing")) + list(tmp_path.rglob("*.sealed"))
