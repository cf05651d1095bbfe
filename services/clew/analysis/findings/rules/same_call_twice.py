"""The same call twice: one trace reads the same thing several times."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from clew.analysis.findings.rule import Candidate, Occurrence, Rule, Traffic, entry_key
from clew.analysis.findings.shapes import has_parameters
from clew.analysis.findings.trees import RESENT, URL, TraceTree, TreeSpan

IGNORED = ("health", "ready", "live", "ping", "status", "poll")


class SameCallTwice(Rule):
    """See the module."""

    name = "same_call_twice"
    title = "Same call twice"
    meaning = "A trace sends a request with the same URL, or a statement with the same values, several times."
    thresholds = {"calls that are equal, with nothing written between them": "2"}
    wrong_when = (
        "Something outside the trace changes what is read, and it is read again because of that (paths of probes and polling "
        "are left out). Statements whose values are not in their text, and requests without a full URL, are never taken "
        "for equal."
    )
    mend = "Keep the first answer for the rest of the request: pass it on, or cache it per request."
    advice = (
        "{operation} reads “{subject}” {calls} times in one trace. Kept for the rest of the request, the others save "
        "{saved_ms} ms."
    )

    def candidates(self, traffic: Traffic) -> Iterable[Candidate]:
        for row in traffic.calls:
            if row["repeating"] and row["type"] in ("service", "external", "database"):
                yield Candidate(
                    entry_key(row), row["repeating"], row["repeated"], row["total"], row["source"]
                )

    def examine(self, candidate: Candidate, tree: TraceTree) -> Iterator[Occurrence]:
        groups: dict[str, list[TreeSpan]] = {}
        for span in tree.spans:
            if span.service == candidate.service and (identity := _identity(span)):
                groups.setdefault(identity, []).append(span)
        for identity, calls in groups.items():
            if len(calls) < 2 or _writes_between(tree, calls):
                continue
            repeated = calls[1:]
            saved = tree.waited(repeated)
            shape = calls[0].shape
            yield Occurrence(
                candidate.service,
                tree.server(calls[0]).name,
                shape.text if shape else identity,
                saved,
                {"calls": len(calls), "saved_ms": saved / 1e6},
                tree.place(calls[1]),
            )


def _identity(span: TreeSpan) -> str:
    """What is equal for calls that read the same; empty if that cannot be known."""
    if span.shape is None or span.is_error or not span.is_read or span.text(RESENT):
        return ""
    if span.shape.kind == "database":
        text = span.text(("db.query.text", "db.statement"))
        return "" if not text or has_parameters(text) or " " not in text.strip() else text
    url = span.text(URL)
    return "" if any(word in url.lower() for word in IGNORED) else url


def _writes_between(tree: TraceTree, calls: Sequence[TreeSpan]) -> bool:
    first, last = calls[0].end, calls[-1].start
    return any(
        span.shape is not None and not span.is_read and span.end > first and span.start < last
        for span in tree.spans
    )


RULE = SameCallTwice()
