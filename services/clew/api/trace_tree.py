"""The outline of a trace: all spans in pre-order as columns, then their times.

100,000 spans as objects cost seconds of CPU time and a gigabyte; as columns 0.2 s until the tree is
there (docs/benchmarks.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import compress
from operator import add, ne, sub
from typing import Any

from clew.analysis.traces.paths import CODES, NONE, SpanColumns, TimedSpan, shown_spans
from clew.api.answer import Answer
from clew.api.parameters import rfc3339
from clew.api.trace_view import ERRORS, MAX_SPANS, PAST_INT64, WHOLE_TRACE
from clew.storage import queries

# Times of a larger trace are in microseconds if it takes longer: nanoseconds are three digits more
# in each number.
PRECISE_SPANS, PRECISE_NS = 20_000, 1_000_000_000
GROUP = ("service", "name", "kind", "status", "scope")
# Flags of a span, in one number; the first three come from the database.
ENDS_BEFORE_START, HAS_EVENTS, HAS_LINKS, SHARED_SPAN_ID, PARENT_MISSING = 1, 2, 4, 8, 16

Columns = Mapping[str, Sequence[Any]]


@dataclass(frozen=True)
class TraceTree:
    """The spans of one trace, each id once.

    `version`: another one when spans of the trace have come. `stored`: the columns of
    OUTLINE_SPANS, as they are stored. `spans`: as they are shown, by start. In pre-order are `rows`
    (of `spans`), `indexes` (of `stored`) and `depths`. `whole`: members that describe the whole
    trace, if it has more spans than MAX_SPANS; only the first are here. `has_shared_ids`: a span is
    shown under another id than it was sent with."""

    version: str
    stored: Columns
    spans: SpanColumns
    rows: list[int]
    indexes: list[int]
    depths: list[int]
    whole: Mapping[str, Any]
    has_shared_ids: bool

    def column(self, name: str) -> list[Any]:
        """A stored column, in pre-order."""
        return list(map(self.stored[name].__getitem__, self.indexes))

    def shown_ids(self) -> list[str]:
        """The id of each span, in pre-order. Where a client and a server share one, the server's
        span has another than it was sent with."""
        return list(map(self.spans.ids.__getitem__, self.rows))

    @property
    def start(self) -> int:
        """The start of the first span, in nanoseconds since 1970."""
        return self.spans.starts[0]

    @property
    def duration(self) -> int:
        """Nanoseconds from the start of the first span to the end of the last."""
        return max(self.spans.ends) - self.start

    @property
    def unit(self) -> int:
        """Nanoseconds of a unit of the outline's times."""
        is_precise = len(self.rows) <= PRECISE_SPANS or self.duration <= PRECISE_NS
        return 1 if is_precise else 1000

    def positions(self) -> list[int]:
        """By row of `spans`, the place in pre-order."""
        positions = [0] * len(self.rows)
        for position, row in enumerate(self.rows):
            positions[row] = position
        return positions


def read_tree(answer: Answer, trace_id: str) -> TraceTree | None:
    """The tree of the trace with this id; None if there is none."""
    stored: Columns = answer.columns(queries.OUTLINE_SPANS, trace_id=trace_id, limit=MAX_SPANS + 1)
    if not stored:
        return None
    whole: Mapping[str, Any] = {}
    if len(stored["id"]) > MAX_SPANS:
        answer.mark_truncated()
        stored = {name: column[:MAX_SPANS] for name, column in stored.items()}
        (row,) = answer.rows(queries.TRACES_BY_ID, trace_ids=[trace_id])
        whole = {name: value for name, value in row.items() if name in WHOLE_TRACE}
    ids, parent_ids, starts, kinds = (stored[name] for name in ("id", "parent_id", "began", "kind"))
    ends = _ends(starts, stored["lasted"])
    is_shared = False
    unique_ids = set(ids)
    if len(unique_ids) == len(ids) and "" not in unique_ids:
        order: Sequence[int] = range(len(ids))
        codes = [CODES.get(kind, 0) for kind in kinds]
        spans = SpanColumns.from_columns(ids, parent_ids, starts, ends, codes)
    else:
        shown = shown_spans(list(map(TimedSpan, ids, parent_ids, kinds, starts, ends)))
        is_shared = any(span.id != ids[index] for index, span in shown)
        order = [index for index, _ in shown]
        spans = SpanColumns.from_spans([span for _, span in shown])
    rows, depths = spans.pre_order()
    indexes = list(map(order.__getitem__, rows))
    version = _version(ids, whole.get("span_count", len(ids)))
    return TraceTree(version, stored, spans, rows, indexes, depths, whole, is_shared)


def _ends(starts: Sequence[int], lengths: Sequence[int]) -> list[int]:
    """The ends as clew_end computes them: a span that ends after the last time that can be stored
    ends when it starts."""
    ends = list(map(add, starts, lengths))
    if max(ends) < PAST_INT64:
        return ends
    return [end if end < PAST_INT64 else start for start, end in zip(starts, ends, strict=True)]


def _version(ids: Sequence[str], count: int) -> str:
    """A text that is another one when spans of the trace have come. `count`: of all its spans."""
    digest = blake2b("\n".join(ids).encode(errors="surrogateescape"), digest_size=8)
    return f"{count}-{digest.hexdigest()}"


def tree_document(trace_id: str, tree: TraceTree) -> dict[str, Any]:
    """The members of `models.OutlineTree` that a trace has whoever asks."""
    groups, members = _groups(tree)
    is_error = [status in ERRORS for status in members["status"]]
    start, unit = tree.start, tree.unit
    offsets = _in_units([began - start for began in tree.spans.starts], unit)
    starts = list(map(offsets.__getitem__, tree.rows))
    dictionaries = {name: list(dict.fromkeys(texts)) for name, texts in members.items()}
    return {
        "trace_id": trace_id,
        "version": tree.version,
        "start": rfc3339(start),
        "duration_ms": tree.duration / 1e6,
        "services": sorted(dictionaries["service"]),
        "span_count": len(groups),
        "error_count": sum(map(is_error.__getitem__, groups)),
        "complete": _is_complete(tree.spans),
        "unit_ns": unit,
        "dictionaries": dictionaries,
        "groups": {name: _places(texts, dictionaries[name]) for name, texts in members.items()},
        "columns": {
            "depth": tree.depths,
            "group": groups,
            "start": list(map(sub, starts, [0, *starts[:-1]])),
            "duration": _in_units(tree.column("lasted"), unit),
            "flags": _flags(tree),
        },
        **tree.whole,
    }


def _groups(tree: TraceTree) -> tuple[list[int], dict[str, tuple[str, ...]]]:
    """The number of each span's group, in pre-order; and of the groups, the texts of each member of
    GROUP. Spans of one group have them all in common."""
    numbers: dict[tuple[str, ...], int] = {}
    columns = [tree.stored[name] for name in GROUP]
    stored = [numbers.setdefault(group, len(numbers)) for group in zip(*columns, strict=True)]
    groups = list(map(stored.__getitem__, tree.indexes))
    return groups, dict(zip(GROUP, zip(*numbers, strict=True), strict=True))


def _places(texts: Sequence[str], dictionary: list[str]) -> list[int]:
    places = {text: place for place, text in enumerate(dictionary)}
    return [places[text] for text in texts]


def _in_units(times: list[int], unit: int) -> list[int]:
    return times if unit == 1 else [time // unit for time in times]


def _flags(tree: TraceTree) -> list[int]:
    """The flags of each span, in pre-order."""
    flags, spans = tree.column("flags"), tree.spans
    for position, depth in enumerate(tree.depths):
        if depth == 0 and spans.parent_ids[tree.rows[position]]:
            flags[position] |= PARENT_MISSING
    if tree.has_shared_ids:
        for position, (id, sent_id) in enumerate(
            zip(tree.shown_ids(), tree.column("id"), strict=True)
        ):
            if id != sent_id:
                flags[position] |= SHARED_SPAN_ID
    return flags


def _is_complete(spans: SpanColumns) -> bool:
    """Whether the root span is stored, and the parent of every other span."""
    roots = spans.parent_ids.count("")
    detached = spans.parents.count(NONE) - roots
    if detached:  # a span that is its own parent has one that is stored
        detached -= sum(
            id == parent_id != "" for id, parent_id in zip(spans.ids, spans.parent_ids, strict=True)
        )
    return roots > 0 and detached == 0


def times_document(tree: TraceTree) -> dict[str, Any]:
    """The times of the tree's spans, as `models.OutlineTimes`."""
    unit = tree.unit
    self_times = tree.spans.self_times()
    times = _in_units(list(map(self_times.__getitem__, tree.rows)), unit)
    durations = _in_units(tree.column("lasted"), unit)
    waiting = list(compress(range(len(times)), map(ne, times, durations)))
    return {
        "self": {
            "row": _differences(waiting),
            "time": list(map(times.__getitem__, waiting)),
        },
        "critical": _critical_document(tree, unit),
    }


def _critical_document(tree: TraceTree, unit: int) -> dict[str, list[int]]:
    """The critical path, as `models.CriticalSegments`."""
    spans = tree.spans
    critical = spans.critical_segments(spans.entry)
    whole: list[int] = []
    rows: list[int] = []
    counts: list[int] = []
    gaps: list[int] = []
    lengths: list[int] = []
    for position, row in enumerate(tree.rows):
        if row not in critical:
            continue
        bounds, start = critical[row], spans.starts[row]
        if bounds is None or bounds == [start, spans.ends[row]]:
            whole.append(position)
            continue
        offsets = [(bound - start) // unit for bound in bounds or (start, start)]
        rows.append(position)
        counts.append(len(offsets) // 2)
        gaps += map(sub, offsets[::2], [0, *offsets[1::2]])
        lengths += map(sub, offsets[1::2], offsets[::2])
    return {
        "whole": _differences(whole),
        "row": _differences(rows),
        "count": counts,
        "gap": gaps,
        "length": lengths,
    }


def _differences(numbers: list[int]) -> list[int]:
    """Each number without the one before it."""
    return list(map(sub, numbers, [0, *numbers[:-1]]))
