"""Serial calls: reads that do not depend on one another, one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from clew.analysis.findings.rule import Candidate, Occurrence, Rule, Traffic, entry_key
from clew.analysis.findings.shapes import ids_of
from clew.analysis.findings.trees import PATH, URL, TraceTree, TreeSpan

SAVED_NS = 10e6
SHARE = 0.1  # of the parent
MANY = 5  # of one shape: N+1 requests
SHOWN = 4  # calls in the subject


class SerialCalls(Rule):
    """See the module."""

    name = "serial_calls"
    title = "Serial calls"
    meaning = (
        "A span sends several requests that only read, each after the one before has been answered."
    )
    thresholds = {
        "saved if they ran at the same time": f"{SAVED_NS / 1e6:.0f} ms and {SHARE:.0%} of the span",
    }
    wrong_when = (
        "One request needs what another one answered. Requests of another shape whose URL has an id that neither the served "
        "request nor an earlier one had are taken for such; what passes otherwise from one to the next is not seen. Requests that write, or "
        "with a call that writes between them, never count, nor do those without a URL, and statements, since a connection "
        "runs one at a time."
    )
    mend = (
        "Send them at the same time: asyncio.gather, a thread pool, CompletableFuture, Promise.all."
    )
    advice = (
        "{operation} waits for {calls} requests one after the other, {sum_ms} ms: {subject}. At the same time they take "
        "as long as the longest, {longest_ms} ms."
    )

    def candidates(self, traffic: Traffic) -> Iterable[Candidate]:
        sources: dict[tuple[str, str, str, str], list[float]] = {}
        traces: dict[tuple[str, str, str, str], Sequence[tuple[str, int]]] = {}
        for row in traffic.calls:
            if row["type"] not in ("service", "external") or not row["source"]:
                continue
            key = (*entry_key(row), row["source"])
            totals = sources.setdefault(key, [0.0, 0.0, 0.0])
            totals[0] += row["calls"]
            totals[1] += row["total"]
            totals[2] = max(totals[2], row["traces"])
            traces[key] = max(traces.get(key, ()), row["newest"], key=len)
        for (*entry, source), (calls, total, affected) in sources.items():
            if calls >= 1.5 * affected and total / affected >= 2 * SAVED_NS:
                key = (entry[0], entry[1], entry[2], source)
                yield Candidate(key[:3], affected, traces[key], total, source)

    def examine(self, candidate: Candidate, tree: TraceTree) -> Iterator[Occurrence]:
        for parent, children in tree.families():
            if parent.service != candidate.service:
                continue
            for chain in _chains(tree, parent, children):
                total = sum(call.duration for call in chain)
                longest = max(call.duration for call in chain)
                saved = tree.waited(chain) - longest
                if saved >= SAVED_NS and saved >= SHARE * parent.duration:
                    yield Occurrence(
                        parent.service,
                        tree.server(parent).name,
                        _subject(chain),
                        saved,
                        {
                            "calls": len(chain),
                            "sum_ms": total / 1e6,
                            "longest_ms": longest / 1e6,
                        },
                        tree.place(chain[0]),
                    )


def _chains(
    tree: TraceTree, parent: TreeSpan, children: Sequence[TreeSpan]
) -> Iterator[list[TreeSpan]]:
    """The longest runs of independent reads, one after the other."""
    known = {text for above in tree.ancestors(parent) for text in _ids(above)}
    chain: list[TreeSpan] = []
    for child in children:
        if child.shape is None:
            continue
        is_request = child.shape.kind == "request" and bool(child.text(URL))
        follows = not chain or child.start >= chain[-1].end
        if is_request and child.is_read and not child.is_error and follows:
            is_other = all(child.shape != earlier.shape for earlier in chain)
            if chain and is_other and _ids(child) - known:
                yield from _counted(chain)
                chain = []
            known |= _ids(child)
            chain.append(child)
        elif not child.is_read or not follows:
            yield from _counted(chain)
            chain = []
    yield from _counted(chain)


def _counted(chain: list[TreeSpan]) -> Iterator[list[TreeSpan]]:
    shapes = [call.shape for call in chain]
    if len(chain) > 1 and max(map(shapes.count, shapes)) < MANY:
        yield chain


def _ids(span: TreeSpan) -> set[str]:
    return ids_of(span.text(URL) or span.text(PATH))


def _subject(chain: Sequence[TreeSpan]) -> str:
    shapes = list(dict.fromkeys(call.shape.text for call in chain if call.shape))
    more = [f"{len(shapes) - SHOWN} more"] if len(shapes) > SHOWN else []
    return ", ".join([*shapes[:SHOWN], *more])


RULE = SerialCalls()
