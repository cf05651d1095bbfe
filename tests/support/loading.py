"""Loads requests through spool and loader into the tables, as the collector does, and settles them."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from clew.analysis.steps import Interval
from clew.analysis.traces.edges import Edges
from clew.analysis.traces.settling import Settling, Window
from clew.analysis.traces.times import LAST_SECOND
from clew.collector import otlp
from clew.collector.loader import Loader
from clew.collector.segment import Segment
from clew.collector.spool import Spool
from clew.storage import SIGNALS, Ingest, Store


def load(ingest: Any, directory: Path, *requests: tuple[str, bytes]) -> None:
    """Store (signal, protobuf body) requests; returns when all of them are in the tables."""
    loader = Loader(ingest)
    spool = Spool(directory, tuple(SIGNALS), loader.offer)

    async def append() -> None:
        for signal, body in requests:
            await spool.append(signal, otlp.decode_protobuf(signal, body))

    asyncio.run(append())
    spool.close()
    loader.start()
    wait_until_drained(loader)
    loader.close()


def wait_until_drained(loader: Loader) -> None:
    deadline = time.monotonic() + 60
    while not loader.drained():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def seal_segment(directory: Path, signal: str, *bodies: bytes) -> Segment:
    """One sealed segment that is not loaded yet."""
    sealed: list[Segment] = []
    spool = Spool(directory, (signal,), sealed.append)

    async def append() -> None:
        # All requests wait for one sync: 0.5 s after the first, the segment would be sealed.
        await asyncio.gather(
            *(spool.append(signal, otlp.decode_protobuf(signal, body)) for body in bodies)
        )

    asyncio.run(append())
    spool.close()
    (segment,) = sealed
    return segment


def settle(settling: Settling, **window: Any) -> None:
    """Settle every trace that is new or changed, and compute the edges of all minutes. `window`:
    fields of Window in place of those that select all traces."""
    all_traces = {"since": 0, "until": 1 << 32, "quiet_since": 0, "quiet_until": 1 << 32} | window
    for chunk in settling.plan_chunks(Window(**all_traces)):
        if chunk.number:
            settling.settle(chunk)
    make_edges(settling)


def make_edges(settling: Settling) -> None:
    """Compute the edges of all minutes."""
    all_time = Interval(0, LAST_SECOND, settling.next_version())
    Edges(settling.statements).run(all_time, Running())


class Running:
    """A Stop that never stops or pauses the work."""

    def check(self) -> None:
        pass


def rows(store: Store, sql: str) -> list[dict[str, Any]]:
    with store.client() as client:
        return list(client.query(sql).named_results())


def sides_equal_their_base(store: Store) -> bool:
    """Whether the rows of every side table equal a GROUP BY of its base table."""
    traces = """
        SELECT TraceId, arraySort(groupUniqArrayArray(Services)), sum(SpanCount), sum(ErrorCount), min(Start),
            max(End), min(EntryKey) >= 0
        FROM otel.clew_traces GROUP BY 1 ORDER BY 1"""
    traces_from_base = """
        SELECT TraceId, arraySort(groupUniqArray(toString(ServiceName))), count(), countIf(StatusCode = 'Error'), min(Timestamp),
            fromUnixTimestamp64Nano(max(clew_end(Timestamp, Duration))), true
        FROM otel.otel_traces WHERE TraceId != '' GROUP BY 1 ORDER BY 1"""
    operations = """
        SELECT Minute, toString(ServiceName), toString(SpanName), toString(SpanKind), IsRoot, sum(Count),
            sum(rollup.Errors), sum(rollup.DurationSum), max(rollup.DurationMax),
            quantilesDDMerge(0.01, 0.5, 0.9, 0.95, 0.99)(Sketch)
        FROM otel.clew_operations_1m AS rollup GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5"""
    operations_from_base = """
        SELECT clew_minute(Timestamp) AS m, toString(ServiceName), toString(SpanName),
            toString(SpanKind), ParentSpanId = '' AS r, count(), countIf(StatusCode = 'Error'),
            sum(if(Duration >= 9223372036854775808, 0, Duration)), max(if(Duration >= 9223372036854775808, 0, Duration)),
            quantilesDD(0.01, 0.5, 0.9, 0.95, 0.99)(if(Duration >= 9223372036854775808, 0, Duration))
        FROM otel.otel_traces GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5"""
    # Rollups are kept for times of their own: rows of which nothing was inserted lately do not count.
    kept = "HAVING max(rollup.InsertedAt) > now() - toIntervalDay(2)"
    hours, hours_from_minutes = (
        f"""
        SELECT {hour} AS hour, toString(ServiceName), toString(SpanName), toString(SpanKind), IsRoot,
            sum(Count), sum(rollup.Errors), sum(rollup.DurationSum), max(rollup.DurationMax),
            quantilesDDMerge(0.01, 0.5, 0.9, 0.95, 0.99)(Sketch)
        FROM otel.{table} AS rollup GROUP BY 1, 2, 3, 4, 5 {kept} ORDER BY 1, 2, 3, 4, 5"""
        for hour, table in (
            ("Hour", "clew_operations_1h"),
            ("toStartOfHour(Minute)", "clew_operations_1m"),
        )
    )
    minutes, minutes_from_operations = (
        f"""
        SELECT Minute, toString(ServiceName), toString(SpanName), toString(SpanKind), IsRoot,
            toString(Environment), sum(Count), sum(rollup.Errors), sum(rollup.DurationSum),
            max(rollup.DurationMax), quantilesDDMerge(0.01, 0.5, 0.9, 0.95, 0.99)(Sketch)
        FROM otel.{table} AS rollup GROUP BY 1, 2, 3, 4, 5, 6 {kept} ORDER BY 1, 2, 3, 4, 5, 6"""
        for table in ("clew_watch_1m", "clew_operations_1m")
    )
    roots = """
        SELECT Timestamp, toString(Environment), toString(ServiceName), toString(SpanName), Duration, IsError, Segment
        FROM otel.clew_roots ORDER BY ALL"""
    roots_from_base = """
        SELECT Timestamp, toString(Environment), toString(ServiceName), toString(SpanName),
            if(spans.Duration >= 9223372036854775808, 0, spans.Duration), StatusCode = 'Error', Segment
        FROM otel.otel_traces AS spans WHERE ParentSpanId = '' ORDER BY ALL"""
    exceptions = """
        SELECT Timestamp, toString(ServiceName), TraceId, SpanId, At, Type, Message, Stack, Segment,
            toString(ServiceVersion), toString(Environment)
        FROM otel.clew_span_exceptions ORDER BY ALL"""
    exceptions_from_base = """
        SELECT Timestamp, toString(ServiceName), TraceId, SpanId, at, with['exception.type'],
            with['exception.message'], with['exception.stacktrace'], Segment,
            toString(ServiceVersion), toString(Environment)
        FROM otel.otel_traces ARRAY JOIN Events.Timestamp AS at, Events.Name AS event, Events.Attributes AS with
        WHERE event = 'exception' AND TraceId != '' ORDER BY ALL"""
    log_exceptions = """
        SELECT Timestamp, toString(ServiceName), TraceId, SpanId, Type, Message, Stack, Segment,
            toString(ServiceVersion), toString(Environment)
        FROM otel.clew_log_exceptions ORDER BY ALL"""
    log_exceptions_from_base = """
        SELECT Timestamp, toString(ServiceName), TraceId, SpanId, LogAttributes['exception.type'],
            LogAttributes['exception.message'], LogAttributes['exception.stacktrace'], Segment,
            ResourceAttributes['service.version'], clew_environment(ResourceAttributes)
        FROM otel.otel_logs
        WHERE has(mapKeys(LogAttributes), 'exception.type') ORDER BY ALL"""
    log_events = """
        SELECT Minute, toString(Type), toString(Environment), toString(ServiceName), Name, Variant, ServiceVersion,
            sum(Count), min(rollup.FirstSeen)
        FROM otel.clew_log_events AS rollup GROUP BY 1, 2, 3, 4, 5, 6, 7 ORDER BY ALL"""
    log_events_from_base = """
        SELECT clew_minute(Timestamp), 'feature_flag', clew_environment(ResourceAttributes), toString(ServiceName),
            LogAttributes['feature_flag.key'], LogAttributes['feature_flag.result.variant'],
            LogAttributes['feature_flag.version'], count(), min(Timestamp)
        FROM otel.otel_logs WHERE has(mapKeys(LogAttributes), 'feature_flag.key') GROUP BY 1, 2, 3, 4, 5, 6, 7
        ORDER BY ALL"""
    templates = """
        SELECT Hour, toString(ServiceName), toString(Environment), Template, Level, Place, min(Body), sum(Count)
        FROM otel.clew_log_templates GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 3, 4, 5, 6"""
    templates_from_base = """
        SELECT toStartOfHour(clew_minute(Timestamp)) AS hour, toString(ServiceName),
            toString(clew_environment(ResourceAttributes)) AS environment, Template, Level,
            clew_log_place(LogAttributes) AS place, min(substringUTF8(Body, 1, 200)), count()
        FROM otel.otel_logs GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 3, 4, 5, 6"""
    with store.client() as client:
        return all(
            client.query(side).result_rows == client.query(base).result_rows
            for side, base in (
                (roots, roots_from_base),
                (exceptions, exceptions_from_base),
                (log_exceptions, log_exceptions_from_base),
                (log_events, log_events_from_base),
                (templates, templates_from_base),
                (traces, traces_from_base),
                (operations, operations_from_base),
                (hours, hours_from_minutes),
                (minutes, minutes_from_operations),
            )
        )


__all__ = [
    "Ingest",
    "load",
    "rows",
    "seal_segment",
    "settle",
    "sides_equal_their_base",
    "wait_until_drained",
]
