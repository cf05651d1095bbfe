"""What each span of one trace took itself, and what its trace waited for.

The same decision stands in queries/settle_traces.sql, for many small traces at once; tests hold the
two together (ADR 0011). For one trace this takes less than planning that statement (60 ms), and it
grows with n log n where the statement's arrays grow with the square.

self: the span's duration less the time in which at least one child was running.
critical: the span is on the path that determined when the trace's entry ended. From the end of a
span backwards, the child that ended last before the time reached is on the path, then the one that
ended last before that one began, and so on down. A child that goes on after its parent did not hold
it up, unless the parent is a CLIENT span: a client waits for its server, so what sticks out there
is the clocks' difference, and is cut off.
path: the time on the path in the span itself, its duration less that of the children on the path.

Traces are taken as they come: parents that never came, several spans of one id (all of them are
the parents of its children, and on the path when one of them is), spans that are their own
ancestors, clocks that differ.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

CLIENT = frozenset(("Client", "SPAN_KIND_CLIENT"))
ENTERED_AT = frozenset(("Server", "Consumer", "SPAN_KIND_SERVER", "SPAN_KIND_CONSUMER"))


class Timed(NamedTuple):
    """A span of the trace: times in nanoseconds, `parent` '' for a root, `kind` as it is stored."""

    id: str
    parent: str
    kind: str
    began: int
    ended: int

    @property
    def rank(self) -> int:
        """What sort of entry it would be: 0 a root, 1 a SERVER or CONSUMER span, 2 any other."""
        return 0 if not self.parent else 1 if self.kind in ENTERED_AT else 2


class Times(NamedTuple):
    """In nanoseconds; `path_ns` is 0 where the trace did not wait for the span."""

    self_ns: int
    path_ns: int
    critical: bool


def entry_of(spans: Sequence[Timed]) -> int:
    """The place of the span that the trace is known by: its first root, or else the first SERVER or
    CONSUMER span, or else the first of all."""
    return min(range(len(spans)), key=lambda n: (spans[n].rank, spans[n].began, spans[n].id))


def times_of(spans: Sequence[Timed]) -> list[Times]:
    """The times of each span of one trace, in their order. A span that ends before it begins takes
    no time."""
    if not spans:
        return []
    spans = [
        span if span.began <= span.ended else span._replace(ended=span.began) for span in spans
    ]
    families: dict[str, list[Timed]] = defaultdict(list)
    for span in spans:
        if span.parent and span.parent != span.id:
            families[span.parent].append(span)
    chains = {
        number: _chain(span, families[span.id])
        for number, span in enumerate(spans)
        if span.id in families
    }
    critical = _reached(spans, {number: chain.waited_for for number, chain in chains.items()})
    times = []
    for number, span in enumerate(spans):
        own = on_path = span.ended - span.began
        if number in chains:
            own -= _covered(span, families[span.id])
            on_path -= chains[number].held_up
        is_critical = span.id in critical
        times.append(Times(own, on_path if is_critical else 0, is_critical))
    return times


class _Chain(NamedTuple):
    held_up: int
    waited_for: list[str]


def _covered(span: Timed, children: list[Timed]) -> int:
    """For how long at least one of the children was running."""
    covered, reached = 0, span.began
    for began, ended in sorted((child.began, child.ended) for child in children):
        began, ended = max(began, reached), min(ended, span.ended)
        if began < ended:
            covered += ended - began
            reached = ended
    return covered


def _chain(span: Timed, children: list[Timed]) -> _Chain:
    """How long the span waited for children, and for which: the last first."""
    is_client = span.kind in CLIENT
    parts = sorted(
        (
            (min(child.ended, span.ended), max(child.began, span.began), child.id)
            for child in children
            if is_client or child.ended <= span.ended
        ),
        reverse=True,
    )
    held_up, reached, waited_for = 0, span.ended, []
    for ended, began, id in parts:
        if began < ended <= reached:
            held_up += ended - began
            reached = began
            waited_for.append(id)
    return _Chain(held_up, waited_for)


def _reached(spans: Sequence[Timed], waited_for: Mapping[int, list[str]]) -> set[str]:
    """The ids on the path: from the entry down, everything that was waited for."""
    down: dict[str, list[str]] = defaultdict(list)
    for number, ids in waited_for.items():
        down[spans[number].id] += ids
    waiting = [spans[entry_of(spans)].id]
    reached = set(waiting)
    while waiting:
        fresh = [id for id in down.get(waiting.pop(), ()) if id not in reached]
        reached.update(fresh)
        waiting += fresh
    return reached
