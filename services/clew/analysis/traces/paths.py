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

Traces are taken as they come: parents that never came, spans that are their own ancestors, clocks
that differ. Of several spans with one id the first is the one that is meant; the others, as a rule
a batch that was sent twice, take no time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

CODES = {
    f"{prefix}{name}": code
    for code, kind in enumerate(("Server", "Client", "Producer", "Consumer"), 1)
    for prefix, name in (("", kind), ("SPAN_KIND_", kind.upper()))
}
SERVER, CLIENT, PRODUCER, CONSUMER = 1, 2, 3, 4


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
        return 0 if not self.parent else 1 if self.code in (SERVER, CONSUMER) else 2

    @property
    def code(self) -> int:
        return CODES.get(self.kind, 0)


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
    firsts = first_of_each(spans)
    families: dict[str, list[Timed]] = defaultdict(list)
    for number in firsts.values():
        span = spans[number]
        if span.parent in firsts and span.parent != span.id:
            families[span.parent].append(span)
    chains = {id: _chain(spans[firsts[id]], children) for id, children in families.items()}
    critical = _reached(spans[entry_of(spans)].id, chains)
    times = [Times(0, 0, False)] * len(spans)
    for id, number in firsts.items():
        span = spans[number]
        own = on_path = span.ended - span.began
        if id in chains:
            own -= _covered(span, families[id])
            on_path -= chains[id].held_up
        times[number] = Times(own, on_path, True) if id in critical else Times(own, 0, False)
    return times


def first_of_each(spans: Sequence[Timed]) -> dict[str, int]:
    """By id, the place of the span that is meant by it: the earliest, of those the longest."""
    firsts: dict[str, int] = {}
    for number, span in enumerate(spans):
        other = firsts.setdefault(span.id, number)
        if other != number and _age(span) < _age(spans[other]):
            firsts[span.id] = number
    return firsts


def _age(span: Timed) -> tuple[int, int, str, int]:
    return span.began, -span.ended, span.parent, span.code


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
    is_client = span.code == CLIENT
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


def _reached(entry: str, chains: Mapping[str, _Chain]) -> set[str]:
    """The ids on the path: from the entry down, everything that was waited for."""
    waiting = [entry]
    reached = {entry}
    while waiting:
        chain = chains.get(waiting.pop())
        fresh = [id for id in chain.waited_for if id not in reached] if chain else []
        reached.update(fresh)
        waiting += fresh
    return reached
