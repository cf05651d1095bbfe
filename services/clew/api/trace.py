"""One trace with its spans, logs and metrics.

Its spans pass through as the database wrote them: what is worked out here is put in front of each.
A trace of 100,000 spans is some 90 MB of JSON; read into objects it would be a gigabyte.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import pairwise
from sys import intern
from typing import Any, NamedTuple

from fastapi import Response
from fastapi.responses import StreamingResponse

from clew.analysis.traces.paths import Timed, Times, entry_of, times_of
from clew.api.answer import Answer
from clew.api.parameters import SECOND, extent, rfc3339
from clew.storage import queries

MAX_SPANS = 100_000
MAX_LOGS = 1000  # of each way they are linked
MAX_OCCURRENCES = 100
# A trace is short: its processes' metrics are shown from before and after it.
METRICS_AROUND = 300 * SECOND
MAX_METRICS = 8  # of each kind, over all services: each takes 4 ms of CPU
MAX_SERIES = 60  # of each kind
# What is said of a trace that is cut is said of all of it.
WHOLE = ("start", "duration_ms", "services", "span_count", "error_count")
AT_ONCE = 1000  # spans in a piece of the answer
ERRORS = frozenset(("Error", "STATUS_CODE_ERROR"))
CUMULATIVE = 2
Point = tuple[int, float | None]  # seconds since 1970, and the value
Processed = queries.TraceGaugesRow | queries.TraceSumsRow  # a series of a process
BACKWARDS = '["ends_before_start"]'


class Span(NamedTuple):
    """What of a span its trace is worked out from; `rest` is where the rest of it stands."""

    timed: Timed
    name: str
    service: str
    instance: str
    status: str
    transaction: str
    lasted: int
    rest: slice


class Trace:
    """A trace as it is answered: `members` of its document without the spans, which come apart."""

    def __init__(self, spans: list[Span], text: bytes, members: dict[str, Any]) -> None:
        self.members = members
        self._spans = spans
        self._text = text

    def document(self) -> dict[str, Any]:
        """The whole document."""
        spans: list[Any] = json.loads(b"".join(self._pieces(b"[", b"]")))
        return self.members | {"spans": spans}

    def response(self, members: dict[str, Any]) -> Response:
        """A response with these members and the spans; what is long is not put together first."""
        head = json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode()
        pieces = self._pieces(head[:-1] + b',"spans":[', b"]}")
        if len(self._spans) <= AT_ONCE:
            return Response(b"".join(pieces), media_type="application/json")
        return StreamingResponse(pieces, media_type="application/json")

    def _pieces(self, head: bytes, tail: bytes) -> Iterator[bytes]:
        began = self._spans[0].timed.began
        times = times_of([span.timed for span in self._spans])
        yield head
        edges = [*range(0, len(self._spans), AT_ONCE), len(self._spans)]
        for first, end in pairwise(edges):
            yield (b"," if first else b"") + b",".join(
                _head(self._spans[number], times[number], began)
                + self._text[self._spans[number].rest]
                for number in range(first, end)
            )
        yield tail


def read_trace(answer: Answer, trace_id: str) -> Trace | None:
    """The trace of this id; None where there is none."""
    text, occurrences = answer.together(
        lambda: answer.text(queries.TRACE_SPANS, trace_id=trace_id, limit=MAX_SPANS + 1),
        lambda: answer.most(queries.TRACE_OCCURRENCES, MAX_OCCURRENCES, trace_id=trace_id),
    )
    spans = sorted(_spans(text), key=lambda span: (span.timed.began, span.timed.id))
    if not spans:
        return None
    whole: dict[str, Any] = {}
    if len(spans) > MAX_SPANS:
        answer.was_cut()
        spans = spans[:MAX_SPANS]
        (row,) = answer.rows(queries.TRACES_BY_ID, trace_ids=[trace_id])
        whole = {name: value for name, value in row.items() if name in WHOLE}
    began = spans[0].timed.began
    ended = max(span.timed.ended for span in spans)
    processes = sorted({(span.service, span.instance) for span in spans})
    logs, metrics, transactions = answer.together(
        lambda: _logs(answer, trace_id, began, ended, processes),
        lambda: _metrics(answer, trace_id, began, ended, processes),
        lambda: _transactions(answer, trace_id, spans, occurrences),
    )
    members = {
        "trace_id": trace_id,
        "transaction": {name: transactions[0][name] for name in ("id", "name", "key")}
        if transactions
        else None,
        "transactions": transactions,
        "start": rfc3339(began),
        "duration_ms": (ended - began) / 1e6,
        "services": sorted({service for service, _ in processes}),
        "span_count": len(spans),
        "error_count": sum(span.status in ERRORS for span in spans),
        "complete": _is_complete(spans),
        "logs": logs,
        "metrics": metrics,
        **whole,
    }
    return Trace(spans, text, members)


def _spans(text: bytes) -> Iterator[Span]:
    heads: list[bytes] = []
    rests: list[slice] = []
    begin = 0
    while (end := text.find(b"\n", begin)) >= 0:
        # Within a string the quotes would be escaped.
        ours = text.index(b',"span_id":', begin)
        heads.append(text[begin : text.index(b',"start":', ours)] + b"}")
        rests.append(slice(ours, end))
        begin = end + 1
        # Many at once take half the time of one by one, and all of them 90 MB.
        if len(heads) == AT_ONCE or begin == len(text):
            yield from map(_span, json.loads(b"[%b]" % b",".join(heads)), rests)
            heads, rests = [], []


def _span(row: queries.TraceSpansRow, rest: slice) -> Span:
    # Of what is the same in many spans there is one text.
    timed = Timed(
        row["span_id"], row["parent_span_id"], intern(row["kind"]), row["began"], _ended(row)
    )
    return Span(
        timed,
        name=intern(row["name"]),
        service=intern(row["service"]),
        instance=intern(row["instance"]),
        status=intern(row["status"]),
        transaction=intern(row["transaction"]),
        lasted=row["lasted"],
        rest=rest,
    )


def _ended(row: queries.TraceSpansRow) -> int:
    """As clew_end has it: a span that ends before it starts, or after all of time, takes none."""
    ended = row["began"] + row["lasted"]
    return ended if ended < 1 << 63 else row["began"]


def _head(span: Span, times: Times, began: int) -> bytes:
    """What stands in front of the rest; numbers alone, so that nothing in it needs escaping."""
    lasted = span.lasted
    backwards = lasted >= 1 << 63
    return (
        f'{{"offset_ms":{(span.timed.began - began) / 1e6},'
        f'"duration_ms":{0 if backwards else lasted / 1e6},'
        f'"self_time_ms":{times.self_ns / 1e6},'
        f'"critical":{"true" if times.critical else "false"},'
        f'"flags":{BACKWARDS if backwards else "[]"}'
    ).encode()


def _is_complete(spans: list[Span]) -> bool:
    """Whether the root is there, and the parent of every other span."""
    ids = {span.timed.id for span in spans} | {""}
    return any(not span.timed.parent for span in spans) and all(
        span.timed.parent in ids for span in spans
    )


def _transactions(
    answer: Answer, trace_id: str, spans: list[Span], occurrences: list[queries.TraceOccurrencesRow]
) -> list[dict[str, Any]]:
    """The defined transactions that the trace belongs to, those first in which one of its spans
    matches, and the automatic one."""
    found = []
    if occurrences:
        is_entry = {(row["id"], row["key"]): row["is_entry"] for row in occurrences}
        named = answer.rows(queries.TRACE_OCCURRENCE_NAMES, keys=sorted(is_entry))
        named.sort(key=lambda row: not is_entry[row["id"], row["key"]])
        found = [
            {
                "id": row["id"],
                "name": row["name"] or row["id"],
                "key": row["key"],
                "source": "defined",
            }
            for row in named
        ]
    entry = spans[entry_of([span.timed for span in spans])]
    if entry.timed.rank < 2:
        name = f"{entry.service}: {entry.name}"
        found.append({"source": "auto", "id": entry.transaction, "name": name, "key": trace_id})
    return found


def _logs(
    answer: Answer, trace_id: str, began: int, ended: int, processes: list[tuple[str, str]]
) -> list[queries.TraceLogsRow]:
    return answer.most(
        queries.TRACE_LOGS,
        MAX_LOGS,
        each="linked_by",
        trace_id=trace_id,
        processes=processes,
        **_extent(began, ended),
    )


def _extent(began: int, ended: int, around: int = 0) -> dict[str, str]:
    return extent([{"start": rfc3339(began), "end": rfc3339(ended)}], around)


def _metrics(
    answer: Answer, trace_id: str, began: int, ended: int, processes: list[tuple[str, str]]
) -> list[dict[str, Any]]:
    """Series around the trace: those with an exemplar of it, then gauges and sums of the processes
    it ran in. Of each metric a few, and of a number of metrics: every one costs time."""
    services = sorted({service for service, _ in processes})
    asked: dict[str, Any] = {
        "services": services,
        "trace_id": trace_id,
        **_extent(began, ended, METRICS_AROUND),
    }
    of_processes = asked | {"processes": processes, "names": max(1, MAX_METRICS // len(services))}
    exemplars, gauges, sums = answer.together(
        lambda: answer.rows(queries.TRACE_EXEMPLARS, **asked),
        lambda: answer.rows(queries.TRACE_GAUGES, **of_processes),
        lambda: answer.rows(queries.TRACE_SUMS, **of_processes),
    )
    found = [
        *_of_histograms(exemplars),
        *(_series(row, row["points"], _link(row)) for row in gauges[:MAX_SERIES]),
        *(_series(row, _rates(row), _link(row)) for row in sums[:MAX_SERIES]),
    ]
    return sorted(found, key=lambda series: str(series["linked_by"]))


def _link(row: Processed) -> str:
    return "exemplar" if row["by_exemplar"] else "resource"


def _series(
    row: Processed | queries.TraceExemplarsRow,
    points: Sequence[Point],
    linked_by: str,
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
    """A level as it is; what counts up as its rate per second, from 0 again where it fell."""
    points = row["points"]
    if not row["is_monotonic"]:
        return points
    rates: list[Point] = []
    for (before, last), (time, value) in pairwise(points):
        if value is None or last is None or time <= before:
            continue
        added = value - last if row["temporality"] == CUMULATIVE and value >= last else value
        rates.append((time, added / (time - before)))
    return rates


def _of_histograms(rows: list[queries.TraceExemplarsRow]) -> Iterator[dict[str, Any]]:
    series: dict[str, list[queries.TraceExemplarsRow]] = {}
    for row in rows:
        key = json.dumps([row["name"], row["service"], row["resource"], row["attributes"]])
        series.setdefault(key, []).append(row)
    for found in series.values():
        points = [(row["time"], p95) for row in found if (p95 := _p95(row)) is not None]
        yield _series(found[0], points, "exemplar")


def _p95(row: queries.TraceExemplarsRow) -> float | None:
    """The upper bound of the bucket that it lies in; the last one has none, and gives its lower."""
    wanted = 0.95 * sum(row["counts"])
    if not row["bounds"] or not wanted:
        return None
    reached = 0
    for count, bound in zip(row["counts"], [*row["bounds"], row["bounds"][-1]], strict=False):
        reached += count
        if reached >= wanted:
            return bound
    return None
