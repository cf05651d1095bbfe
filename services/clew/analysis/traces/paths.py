"""Self times and the critical path of one trace.

queries/settling/settle_traces.sql computes the same for many small traces at once; tests compare
the two (ADR 0011). For one trace this module takes less time than planning that statement (60 ms),
and its time grows with n log n, where the statement's arrays grow with the square.

self time: the span's duration without the time in which at least one child was running. Settled, a
leaf that ran for the same time as a sibling with children waited for it, as a filter's or a
future's span does: it has none. A trace that is shown says what each span has by itself.
critical: the span is on the path that determined when the trace's entry ended. Walking back from
the end of a span, the child that ended last is on the path, then the child that ended last before
that one started, and so on; the same holds for each of these children. A child that ends after its
parent did not delay it, unless the parent is a CLIENT span: a client waits for its server, so a
later end of the server is a difference between clocks, and is cut off.
path time: the duration of a span on the path without that of its children on the path.

Any trace is accepted: with missing parents, spans that are their own ancestors, and clocks that
differ. Of several spans with one id only the first counts; the others, usually a batch that was
sent twice, take no time. A client and a server that share one id, as Zipkin's do, are two spans.

The computation is over columns (`SpanColumns`), because 100,000 spans as objects cost more than it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from operator import lt, sub
from typing import NamedTuple

CODES = {
    f"{prefix}{name}": code
    for code, kind in enumerate(("Server", "Client", "Producer", "Consumer"), 1)
    for prefix, name in (("", kind), ("SPAN_KIND_", kind.upper()))
}
SERVER, CLIENT, PRODUCER, CONSUMER = 1, 2, 3, 4
INVERTED_DIGITS = str.maketrans("0123456789abcdef", "fedcba9876543210")


class TimedSpan(NamedTuple):
    """A span of the trace: times in nanoseconds since 1970, `parent` '' for a root, `kind` as it is
    stored."""

    id: str
    parent: str
    kind: str
    start: int
    end: int

    @property
    def rank(self) -> int:
        """The rank as the trace's entry: 0 a root, 1 a SERVER or CONSUMER span, 2 any other."""
        return 0 if not self.parent else 1 if self.code in (SERVER, CONSUMER) else 2

    @property
    def code(self) -> int:
        """SERVER, CLIENT, PRODUCER, CONSUMER, or 0 for any other kind."""
        return CODES.get(self.kind, 0)


class SpanTimes(NamedTuple):
    """Self time and path time of a span in nanoseconds; `path_ns` is 0 unless it is critical."""

    self_ns: int
    path_ns: int
    critical: bool


def unique_ids(spans: Sequence[TimedSpan]) -> Sequence[TimedSpan]:
    """The spans, in which a SERVER span that shares its id with a CLIENT span has an id of its own
    (schema 0161) and is the CLIENT span's child. The children of the id become the SERVER span's,
    as in Jaeger."""
    ids_by_code: dict[int, set[str]] = {CLIENT: set(), SERVER: set()}
    for span in spans:
        if span.code in ids_by_code:
            ids_by_code[span.code].add(span.id)
    shared = ids_by_code[CLIENT] & ids_by_code[SERVER]
    return [_with_unique_ids(span, shared) for span in spans] if shared else spans


def _with_unique_ids(span: TimedSpan, shared: set[str]) -> TimedSpan:
    if span.code == SERVER and span.id in shared:
        return span._replace(id=span.id.translate(INVERTED_DIGITS), parent=span.id)
    if span.parent in shared:
        return span._replace(parent=span.parent.translate(INVERTED_DIGITS))
    return span


def entry_index(spans: Sequence[TimedSpan]) -> int:
    """The index of the trace's entry: its first root, or else its first SERVER or CONSUMER span, or
    else its first span. `spans` must not be empty."""
    return min(range(len(spans)), key=lambda n: (spans[n].rank, spans[n].start, spans[n].id))


def compute_times(spans: Sequence[TimedSpan]) -> list[SpanTimes]:
    """The times of each span of one trace, in the order of `spans`, which need not have unique ids.
    A span that ends before it starts has the duration 0."""
    if not spans:
        return []
    spans = unique_ids(spans)
    rows = sorted(index_spans(spans).values(), key=lambda row: (spans[row].start, spans[row].id))
    columns = SpanColumns.from_spans([spans[row] for row in rows])
    entry = columns.ids.index(spans[entry_index(spans)].id)
    times = [SpanTimes(0, 0, False)] * len(spans)
    for row, span_times in zip(rows, columns.times(entry), strict=True):
        times[row] = span_times
    for waiting in map(rows.__getitem__, columns.watching()):
        times[waiting] = times[waiting]._replace(self_ns=0)
    return times


def shown_spans(spans: Sequence[TimedSpan]) -> list[tuple[int, TimedSpan]]:
    """The spans as a trace is shown: each id once, by start, then by id. Each with its index in
    `spans`; its ids may differ from those that were sent (`unique_ids`)."""
    unique = unique_ids(spans)
    first = set(index_spans(unique).values())
    shown = [
        (index, span)
        for index, span in enumerate(unique)
        if index in first or not span.id  # other writers may leave ids out
    ]
    return sorted(shown, key=lambda entry: (entry[1].start, entry[1].id))


def index_spans(spans: Sequence[TimedSpan]) -> dict[str, int]:
    """By id, the index of the span that counts: the one that started first, and of several the
    longest."""
    index_by_id: dict[str, int] = {}
    for index, span in enumerate(spans):
        first = index_by_id.setdefault(span.id, index)
        if first != index and _order(span) < _order(spans[first]):
            index_by_id[span.id] = index
    return index_by_id


def _order(span: TimedSpan) -> tuple[int, int, str, int]:
    return span.start, -span.end, span.parent, span.code


NONE = -1  # in place of a row
MAX_NEAR = 200  # siblings that a leaf is compared with


@dataclass(frozen=True)
class SpanColumns:
    """The spans of one trace in the order of their starts, then of their ids, which are unique
    (only '' may occur several times). `parent_ids`: '' for a root. `starts`, `ends`: nanoseconds
    since 1970; no span ends before it starts. `codes`: as `TimedSpan.code`.

    `parents`: the row of the parent; NONE if there is none, or it is not stored, or it is the span
    itself. `first_children` and `next_siblings`: rows, or NONE, by which the children of a span are
    found in order."""

    ids: Sequence[str]
    parent_ids: Sequence[str]
    starts: Sequence[int]
    ends: Sequence[int]
    codes: Sequence[int]
    parents: Sequence[int]
    first_children: Sequence[int]
    next_siblings: Sequence[int]

    @classmethod
    def from_columns(
        cls,
        ids: Sequence[str],
        parent_ids: Sequence[str],
        starts: Sequence[int],
        ends: Sequence[int],
        codes: Sequence[int],
    ) -> SpanColumns:
        index = dict(zip(ids, range(len(ids)), strict=True))
        index.pop("", None)  # a span without an id is nobody's parent
        parents = list(map(index.get, parent_ids, repeat(NONE)))
        first_children = [NONE] * len(ids)
        next_siblings = [NONE] * len(ids)
        for row in range(len(ids) - 1, -1, -1):
            parent = parents[row]
            if parent == row:
                parents[row] = NONE
            elif parent >= 0:
                next_siblings[row] = first_children[parent]
                first_children[parent] = row
        return cls(ids, parent_ids, starts, ends, codes, parents, first_children, next_siblings)

    @classmethod
    def from_spans(cls, spans: Sequence[TimedSpan]) -> SpanColumns:
        """The columns of spans that are in order and have unique ids."""
        return cls.from_columns(
            [span.id for span in spans],
            [span.parent for span in spans],
            [span.start for span in spans],
            [max(span.start, span.end) for span in spans],
            [span.code for span in spans],
        )

    @property
    def entry(self) -> int:
        """The row of the trace's entry: as `entry_index`."""
        if "" in self.parent_ids:
            return self.parent_ids.index("")
        entries = (row for row, code in enumerate(self.codes) if code in (SERVER, CONSUMER))
        return next(entries, 0)

    def times(self, entry: int) -> list[SpanTimes]:
        """The times of each span. `entry`: the row of the trace's entry."""
        times = [SpanTimes(self_ns, 0, False) for self_ns in self.self_times()]
        for row, bounds in self.critical_segments(entry).items():
            duration = self.ends[row] - self.starts[row]
            path_ns = duration if bounds is None else sum(bounds[1::2]) - sum(bounds[::2])
            times[row] = SpanTimes(times[row].self_ns, path_ns, True)
        return times

    def self_times(self) -> list[int]:
        """The self time of each span, in nanoseconds."""
        starts, ends = self.starts, self.ends
        times = list(map(sub, ends, starts))
        reached = list(starts)  # up to where a span's children, so far, were running
        for row, parent in enumerate(self.parents):
            if parent >= 0:
                start, end = starts[row], ends[row]
                if start < reached[parent]:
                    start = reached[parent]
                if end > ends[parent]:
                    end = ends[parent]
                if start < end:
                    times[parent] -= end - start
                    reached[parent] = end
        return times

    def watching(self) -> Iterator[int]:
        """The leaves that ran for the same time as a sibling with children, to a tenth of the
        longer."""
        first_children, next_siblings = self.first_children, self.next_siblings
        for first in first_children:
            if first == NONE or next_siblings[first] == NONE:
                continue
            leaves: list[int] = []
            parents: list[int] = []
            child = first
            while child != NONE:
                (leaves if first_children[child] == NONE else parents).append(child)
                child = next_siblings[child]
            if parents:
                yield from (leaf for leaf in leaves if self._is_beside(leaf, parents))

    def _is_beside(self, leaf: int, siblings: Sequence[int]) -> bool:
        """`siblings`: in the order of their starts."""
        start, end = self.starts[leaf], self.ends[leaf]
        # A span of nearly the same time starts near; a hostile trace may have many that do.
        earliest = start - (end - start) // 8 - 1
        near = bisect_left(siblings, earliest, key=self.starts.__getitem__)
        for sibling in siblings[near : near + MAX_NEAR]:
            other_start, other_end = self.starts[sibling], self.ends[sibling]
            overlap = min(end, other_end) - max(start, other_start)
            longest = max(end - start, other_end - other_start)
            if overlap > 0 and overlap >= longest - longest // 10:
                return True
        return False

    def critical_segments(self, entry: int) -> dict[int, list[int] | None]:
        """By the row of each critical span: the parts of its time in which it waited for no child
        on the path, in order, as start, end, start, end and so on. Together they are its path
        time. None for a span without children: all of its time. (A list or tuple for each of
        100,000 spans costs 0.2 s of CPU time for garbage collections.) `entry`: the row of the
        trace's entry."""
        first_children = self.first_children
        critical: dict[int, list[int] | None] = {}
        queue = [entry]
        seen = {entry}
        while queue:
            row = queue.pop()
            if first_children[row] == NONE:
                critical[row] = None
                continue
            critical[row], awaited = self._segments(row)
            new_rows = [child for child in awaited if child not in seen]
            seen.update(new_rows)
            queue += new_rows
        return critical

    def _segments(self, row: int) -> tuple[list[int], list[int]]:
        """The segments of a critical span, and the children that it waited for, the last first."""
        starts, ends = self.starts, self.ends
        first = starts[row]
        last = reached = ends[row]
        bounds: list[int] = []  # from the end on
        awaited: list[int] = []
        for child in self._last_first(row):
            end, start = min(ends[child], last), max(starts[child], first)
            if start < end <= reached:
                if end < reached:
                    bounds += (reached, end)
                reached = start
                awaited.append(child)
        if first < reached:
            bounds += (reached, first)
        bounds.reverse()
        return bounds, awaited

    def _last_first(self, row: int) -> list[int]:
        """The children that a span can have waited for: by their ends within the span, the last
        first, then by their starts, then by their ids."""
        starts, ends, ids, next_siblings = self.starts, self.ends, self.ids, self.next_siblings
        first, last, is_client = starts[row], ends[row], self.codes[row] == CLIENT
        children = []
        child = self.first_children[row]
        while child != NONE:
            if is_client or ends[child] <= last:
                children.append(child)
            child = next_siblings[child]
        limits = [min(ends[child], last) for child in children]
        if all(map(lt, limits, limits[1:])):  # one after the other, as most are
            children.reverse()
        else:
            children.sort(
                key=lambda child: (min(ends[child], last), max(starts[child], first), ids[child]),
                reverse=True,
            )
        return children

    def pre_order(self) -> tuple[list[int], list[int]]:
        """The rows of all spans, each before its children, and the depth of each. Spans without a
        stored parent have the depth 0; so has the first span of a cycle of parents."""
        rows: list[int] = []
        depths: list[int] = []
        for row, parent in enumerate(self.parents):
            if parent == NONE:
                self._add_tree(row, rows, depths)
        if len(rows) < len(self.parents):
            placed = bytearray(len(self.parents))
            for row in rows:
                placed[row] = True
            for row in range(len(placed)):
                if not placed[row]:
                    size = len(rows)
                    self._add_tree(self._first_of_cycle(row), rows, depths)
                    for added in rows[size:]:
                        placed[added] = True
        return rows, depths

    def _first_of_cycle(self, row: int) -> int:
        """The first span of the cycle that a span's ancestors form."""
        seen: set[int] = set()
        while row not in seen:
            seen.add(row)
            row = self.parents[row]
        first, ancestor = row, self.parents[row]
        while ancestor != row:
            first, ancestor = min(first, ancestor), self.parents[ancestor]
        return first

    def _add_tree(self, root: int, rows: list[int], depths: list[int]) -> None:
        """Add a span and all below it, in pre-order, to the lists."""
        first_children, next_siblings = self.first_children, self.next_siblings
        rows.append(root)
        depths.append(0)
        ancestors = [root]
        row = first_children[root]
        while True:
            if row == NONE:
                row = ancestors.pop()
                if not ancestors:
                    return
            elif row != root:  # which is below itself in a cycle
                rows.append(row)
                depths.append(len(ancestors))
                if first_children[row] != NONE:
                    ancestors.append(row)
                    row = first_children[row]
                    continue
            row = next_siblings[row]
