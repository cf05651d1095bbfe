"""One trace with its spans, logs and metrics.

The database writes spans as JSON, and they pass through as text: Python computes their times and
writes those in front of each. A trace of 100,000 spans is about 90 MB of JSON, which would be a
gigabyte as objects.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import pairwise
from sys import intern
from typing import Any, NamedTuple

from fastapi import Response
from fastapi.responses import StreamingResponse

from clew.analysis.traces.paths import (
    SpanTimes,
    TimedSpan,
    compute_times,
    entry_index,
    index_spans,
    unique_ids,
)
from clew.api.answer import Answer
from clew.api.parameters import SECOND, extent_parameters, rfc3339
from clew.storage import queries

MAX_SPANS = 100_000
MAX_LOGS = 1000  # for each kind of link
MAX_OCCURRENCES = 100
# A trace is short, so metrics of its processes are shown from before and after it too.
METRICS_MARGIN = 300 * SECOND
MAX_METRICS = 8  # of each type, over all services: each costs 4 ms of CPU time
MAX_SERIES = 60  # of each type
# Members that describe the whole trace even when its spans are truncated.
WHOLE_TRACE = ("start", "duration_ms", "services", "span_count", "error_count")
CHUNK = 1000  # spans that are parsed, and sent, at a time
ERRORS = frozenset(("Error", "STATUS_CODE_ERROR"))
CUMULATIVE = 2
PAST_INT64 = 1 << 63

Point = tuple[int, float | None]  # seconds since 1970, value
ProcessSeries = queries.TraceGaugesRow | queries.TraceSumsRow


class SpanHead(NamedTuple):
    """The part of a span that the trace is computed from. `rest`: where the text of the other part
    is, from its span_id on. If `timed` has other ids than were sent, then `sent_id` is the span's
    id as sent, and `rest` begins at the name."""

    timed: TimedSpan
    sent_id: str | None
    name: str
    service: str
    instance: str
    status: str
    transaction: str
    duration_ns: int
    ends_before_start: bool
    rest: slice


class TraceView:
    """A trace as the API shows it. `members`: its document without the spans, which are written
    separately."""

    def __init__(self, heads: list[SpanHead], text: bytes, members: dict[str, Any]) -> None:
        self.members = members
        self._heads = heads
        self._text = text

    def document(self) -> dict[str, Any]:
        """The whole document."""
        spans: list[Any] = json.loads(b"".join(self._chunks(b"[", b"]")))
        return self.members | {"spans": spans}

    def response(self, members: dict[str, Any]) -> Response:
        """A response with these members and the spans. A long one is streamed."""
        head = json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode()
        chunks = self._chunks(head[:-1] + b',"spans":[', b"]}")
        if len(self._heads) <= CHUNK:
            return Response(b"".join(chunks), media_type="application/json")
        return StreamingResponse(chunks, media_type="application/json")

    def _chunks(self, prefix: bytes, suffix: bytes) -> Iterator[bytes]:
        trace_start = self._heads[0].timed.start
        times = compute_times([head.timed for head in self._heads])
        yield prefix
        bounds = [*range(0, len(self._heads), CHUNK), len(self._heads)]
        for first, end in pairwise(bounds):
            yield (b"," if first else b"") + b",".join(
                _computed_members(self._heads[number], times[number], trace_start)
                + self._text[self._heads[number].rest]
                for number in range(first, end)
            )
        yield suffix


def read_trace(answer: Answer, trace_id: str) -> TraceView | None:
    """The trace with this id; None if there is none."""
    text, occurrences = answer.in_parallel(
        lambda: answer.text(queries.TRACE_SPANS, trace_id=trace_id, limit=MAX_SPANS + 1),
        lambda: answer.limited_rows(queries.TRACE_OCCURRENCES, MAX_OCCURRENCES, trace_id=trace_id),
    )
    heads = _unique_heads(list(_span_heads(text)), text)
    if not heads:
        return None
    whole_trace: dict[str, Any] = {}
    if len(heads) > MAX_SPANS:
        answer.mark_truncated()
        heads = heads[:MAX_SPANS]
        (row,) = answer.rows(queries.TRACES_BY_ID, trace_ids=[trace_id])
        whole_trace = {name: value for name, value in row.items() if name in WHOLE_TRACE}
    start = heads[0].timed.start
    end = max(head.timed.end for head in heads)
    processes = sorted({(head.service, head.instance) for head in heads})
    logs, metrics, transactions = answer.in_parallel(
        lambda: _logs(answer, trace_id, start, end, processes, heads),
        lambda: _metrics(answer, trace_id, start, end, processes),
        lambda: _transactions(answer, trace_id, heads, occurrences),
    )
    members = {
        "trace_id": trace_id,
        "transaction": {name: transactions[0][name] for name in ("id", "name", "key")}
        if transactions
        else None,
        "transactions": transactions,
        "start": rfc3339(start),
        "duration_ms": (end - start) / 1e6,
        "services": sorted({service for service, _ in processes}),
        "span_count": len(heads),
        "error_count": sum(head.status in ERRORS for head in heads),
        "complete": _is_complete(heads),
        "logs": logs,
        "metrics": metrics,
        **whole_trace,
    }
    return TraceView(heads, text, members)


def _unique_heads(heads: list[SpanHead], text: bytes) -> list[SpanHead]:
    """Each span once, by start and id. Where a client and a server share an id, the server's span
    has another one."""
    timed = unique_ids([head.timed for head in heads])
    first = set(index_spans(timed).values())
    unique = [
        head if head.timed == span else _with_ids(head, span, text)
        for index, (head, span) in enumerate(zip(heads, timed, strict=True))
        if index in first or not span.id  # other writers may leave ids out
    ]
    return sorted(unique, key=lambda head: (head.timed.start, head.timed.id))


def _with_ids(head: SpanHead, timed: TimedSpan, text: bytes) -> SpanHead:
    rest = slice(text.index(b',"name":', head.rest.start), head.rest.stop)
    return head._replace(timed=timed, sent_id=head.timed.id, rest=rest)


def _span_heads(text: bytes) -> Iterator[SpanHead]:
    heads: list[bytes] = []
    rests: list[slice] = []
    line_start = 0
    while (line_end := text.find(b"\n", line_start)) >= 0:
        # These quotes cannot be in a string, where they are escaped.
        rest = text.index(b',"span_id":', line_start)
        heads.append(text[line_start : text.index(b',"start":', rest)] + b"}")
        rests.append(slice(rest, line_end))
        line_start = line_end + 1
        # Parsing many at once takes half the time of one by one; all of them would take 90 MB.
        if len(heads) == CHUNK or line_start == len(text):
            yield from map(_span_head, json.loads(b"[%b]" % b",".join(heads)), rests)
            heads, rests = [], []


def _span_head(row: queries.TraceSpansRow, rest: slice) -> SpanHead:
    # Strings that repeat in many spans are stored once.
    timed = TimedSpan(
        row["span_id"], row["parent_span_id"], intern(row["kind"]), row["began"], _span_end(row)
    )
    return SpanHead(
        timed,
        sent_id=None,
        name=intern(row["name"]),
        service=intern(row["service"]),
        instance=intern(row["instance"]),
        status=intern(row["status"]),
        transaction=intern(row["transaction"]),
        duration_ns=row["lasted"],
        ends_before_start=row["ends_before_start"],
        rest=rest,
    )


def _span_end(row: queries.TraceSpansRow) -> int:
    """The end as clew_end computes it: a span that ends after the last time that can be stored ends
    when it starts."""
    end = row["began"] + row["lasted"]
    return end if end < PAST_INT64 else row["began"]


def _computed_members(head: SpanHead, times: SpanTimes, trace_start: int) -> bytes:
    """The members in front of the rest of the span."""
    members = (
        f'{{"offset_ms":{(head.timed.start - trace_start) / 1e6},'
        f'"duration_ms":{head.duration_ns / 1e6},'
        f'"self_time_ms":{times.self_ns / 1e6},'
        f'"critical":{"true" if times.critical else "false"},'
        f'"flags":{json.dumps(_flags(head))}'
    )
    if head.sent_id is not None:
        ids = {"span_id": head.timed.id, "parent_span_id": head.timed.parent}
        members += f",{json.dumps(ids)[1:-1]}"
    return members.encode()


def _flags(head: SpanHead) -> list[str]:
    is_shared = head.sent_id not in (None, head.timed.id)
    return ["ends_before_start"] * head.ends_before_start + ["shared_span_id"] * is_shared


def _is_complete(heads: list[SpanHead]) -> bool:
    """Whether the root span is stored, and the parent of every other span."""
    ids = {head.timed.id for head in heads} | {""}
    return any(not head.timed.parent for head in heads) and all(
        head.timed.parent in ids for head in heads
    )


def _transactions(
    answer: Answer,
    trace_id: str,
    heads: list[SpanHead],
    occurrences: list[queries.TraceOccurrencesRow],
) -> list[dict[str, Any]]:
    """The transactions that the trace belongs to: defined ones that match one of its spans, other
    defined ones, and the automatic one."""
    transactions = []
    if occurrences:
        is_entry = {(row["id"], row["key"]): row["is_entry"] for row in occurrences}
        names = answer.rows(queries.TRACE_OCCURRENCE_NAMES, keys=sorted(is_entry))
        names.sort(key=lambda row: not is_entry[row["id"], row["key"]])
        transactions = [
            {
                "id": row["id"],
                "name": row["name"] or row["id"],
                "key": row["key"],
                "source": "defined",
            }
            for row in names
        ]
    entry = heads[entry_index([head.timed for head in heads])]
    if entry.timed.rank < 2:
        name = f"{entry.service}: {entry.name}"
        transactions.append(
            {"source": "auto", "id": entry.transaction, "name": name, "key": trace_id}
        )
    return transactions


def _logs(
    answer: Answer,
    trace_id: str,
    start: int,
    end: int,
    processes: list[tuple[str, str]],
    heads: list[SpanHead],
) -> list[queries.TraceLogsRow]:
    logs = answer.limited_rows(
        queries.TRACE_LOGS,
        MAX_LOGS,
        per="linked_by",
        trace_id=trace_id,
        processes=processes,
        **_extent_parameters(start, end),
    )
    shown_ids = {
        (head.service, head.sent_id): head.timed.id for head in heads if head.sent_id is not None
    }
    for log in logs if shown_ids else ():
        log["span_id"] = shown_ids.get((log["service"], log["span_id"]), log["span_id"])
    return logs


def _extent_parameters(start: int, end: int, margin: int = 0) -> dict[str, str]:
    return extent_parameters([{"start": rfc3339(start), "end": rfc3339(end)}], margin)


def _metrics(
    answer: Answer, trace_id: str, start: int, end: int, processes: list[tuple[str, str]]
) -> list[dict[str, Any]]:
    """Series of metrics around the trace: histograms with an exemplar of it, then gauges and sums
    of its processes. Only a few metrics of each type, because each costs time."""
    services = sorted({service for service, _ in processes})
    parameters: dict[str, Any] = {
        "services": services,
        "trace_id": trace_id,
        **_extent_parameters(start, end, METRICS_MARGIN),
    }
    metrics_per_service = max(1, MAX_METRICS // len(services))
    process_parameters = parameters | {"processes": processes, "names": metrics_per_service}
    exemplars, gauges, sums = answer.in_parallel(
        lambda: answer.rows(queries.TRACE_EXEMPLARS, **parameters),
        lambda: answer.rows(queries.TRACE_GAUGES, **process_parameters),
        lambda: answer.rows(queries.TRACE_SUMS, **process_parameters),
    )
    series = [
        *_histograms(exemplars),
        *(_series(row, row["points"], _link(row)) for row in gauges[:MAX_SERIES]),
        *(_series(row, _rates(row), _link(row)) for row in sums[:MAX_SERIES]),
    ]
    return sorted(series, key=lambda one: str(one["linked_by"]))


def _link(row: ProcessSeries) -> str:
    return "exemplar" if row["by_exemplar"] else "resource"


def _series(
    row: ProcessSeries | queries.TraceExemplarsRow, points: Sequence[Point], linked_by: str
) -> dict[str, Any]:
    return {
        "name": row["name"],
        "unit": row["unit"],
        "service": row["service"],
        "resource": row["resource"],
        "attributes": row["attributes"],
        "linked_by": linked_by,
        "points": [{"time": rfc3339(time * SECOND), "value": value} for time, value in points],
        "correlation": None,
    }


def _rates(row: queries.TraceSumsRow) -> list[Point]:
    """The points of a non-monotonic sum; of a monotonic one its rate per second between points. A
    counter that fell was reset to 0."""
    points = list(dict(row["points"]).items())  # of points within one second, the last
    if not row["is_monotonic"] and row["temporality"] == CUMULATIVE:
        return points
    rates: list[Point] = []
    for (previous_time, previous), (time, value) in pairwise(points):
        if value is None or previous is None or time <= previous_time:
            continue
        is_increase = row["temporality"] == CUMULATIVE and value >= previous
        increase = value - previous if is_increase else value
        rates.append((time, increase / (time - previous_time)))
    return rates


def _histograms(rows: list[queries.TraceExemplarsRow]) -> Iterator[dict[str, Any]]:
    by_series: dict[str, list[queries.TraceExemplarsRow]] = {}
    for row in rows:
        key = json.dumps([row["name"], row["service"], row["resource"], row["attributes"]])
        by_series.setdefault(key, []).append(row)
    for series in by_series.values():
        points = [(row["time"], p95) for row in series if (p95 := _p95(row)) is not None]
        yield _series(series[0], points, "exemplar")


def _p95(row: queries.TraceExemplarsRow) -> float | None:
    """The upper bound of the bucket that contains the p95; for the last bucket, which has none, its
    lower bound."""
    rank = 0.95 * sum(row["counts"])
    if not row["bounds"] or not rank:
        return None
    cumulative = 0
    for count, bound in zip(row["counts"], [*row["bounds"], row["bounds"][-1]], strict=False):
        cumulative += count
        if cumulative >= rank:
            return bound
    return None
