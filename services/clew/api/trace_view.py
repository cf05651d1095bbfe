"""One trace with its spans, logs and metrics.

The database writes spans as JSON, and they pass through as text: Python computes their times and
writes those in front of each. A trace of 100,000 spans is about 90 MB of JSON, which would be a
gigabyte as objects.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from sys import intern
from typing import Any, NamedTuple

from fastapi import Response
from fastapi.responses import StreamingResponse

from clew.analysis.traces.paths import (
    SpanColumns,
    SpanTimes,
    TimedSpan,
    entry_index,
    shown_spans,
)
from clew.api.answer import Answer
from clew.api.parameters import rfc3339
from clew.api.trace_parts import (
    MAX_OCCURRENCES,
    TraceExtent,
    read_logs,
    read_metrics,
    read_transactions,
)
from clew.storage import queries

MAX_SPANS = 100_000
# Members that describe the whole trace even when its spans are truncated.
WHOLE_TRACE = ("start", "duration_ms", "services", "span_count", "error_count")
CHUNK = 1000  # spans that are parsed, and sent, at a time
ERRORS = frozenset(("Error", "STATUS_CODE_ERROR"))
PAST_INT64 = 1 << 63


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
        columns = SpanColumns.from_spans([head.timed for head in self._heads])
        times = columns.times(columns.entry)
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
    extent = TraceExtent(
        heads[0].timed.start,
        max(head.timed.end for head in heads),
        tuple(sorted({(head.service, head.instance) for head in heads})),
    )
    entry = heads[entry_index([head.timed for head in heads])]
    transaction = (
        (entry.transaction, f"{entry.service}: {entry.name}") if entry.timed.rank < 2 else None
    )
    logs, metrics, transactions = answer.in_parallel(
        lambda: _logs(answer, trace_id, extent, heads),
        lambda: read_metrics(answer, trace_id, extent),
        lambda: read_transactions(answer, trace_id, transaction, occurrences),
    )
    members = {
        "trace_id": trace_id,
        **transactions,
        "start": rfc3339(extent.start),
        "duration_ms": (extent.end - extent.start) / 1e6,
        "services": extent.services,
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
    return [
        heads[index] if heads[index].timed == span else _with_ids(heads[index], span, text)
        for index, span in shown_spans([head.timed for head in heads])
    ]


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
    end = span_end(row["began"], row["lasted"])
    timed = TimedSpan(row["span_id"], row["parent_span_id"], intern(row["kind"]), row["began"], end)
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


def span_end(start: int, lasted: int) -> int:
    """The end as clew_end computes it: a span that ends after the last time that can be stored ends
    when it starts. All in nanoseconds."""
    end = start + lasted
    return end if end < PAST_INT64 else start


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


def _logs(
    answer: Answer, trace_id: str, extent: TraceExtent, heads: list[SpanHead]
) -> list[queries.TraceLogsRow]:
    logs = read_logs(answer, trace_id, extent)
    shown_ids = {
        (head.service, head.sent_id): head.timed.id for head in heads if head.sent_id is not None
    }
    for log in logs if shown_ids else ():
        log["span_id"] = shown_ids.get((log["service"], log["span_id"]), log["span_id"])
    return logs
