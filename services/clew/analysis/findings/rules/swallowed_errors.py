"""Swallowed errors: a call fails, and who made it answers as if nothing were wrong."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from clew.analysis.findings.rule import Candidate, Occurrence, Rule, Traffic, entry_key
from clew.analysis.findings.trees import TraceTree, TreeSpan

MIN_FAILED = 3
SHARE = 0.01  # of the calls that fail
RETRYABLE = (408, 429)  # refusals that are failures all the same


class SwallowedErrors(Rule):
    """See the module."""

    name = "swallowed_errors"
    title = "Swallowed errors"
    meaning = "A call fails often, and the request that made it succeeds all the same."
    thresholds = {
        "calls that fail": f"{MIN_FAILED}, and {SHARE:.0%} of the calls",
        "of them without a failure above": "more than half",
    }
    wrong_when = (
        "The failure is an answer, such as 401, 404 or 409 (statuses from 400 to 499 do not count, but for 408 and 429), or "
        "there is a deliberate replacement for what failed. A call that succeeds when it is tried again does not count."
    )
    mend = "Answer with a failure or say in the answer what is missing; record the exception; at least log it."
    advice = (
        "{failed_share} of the calls “{subject}” fail, and {operation} answers as if they had not: what it answers is "
        "incomplete and nobody is told. Record the exception and say what is missing, or fail."
    )
    saves_time = False
    least_share = 0.5

    def candidates(self, traffic: Traffic) -> Iterable[Candidate]:
        for row in traffic.calls:
            share = row["errors"] / row["calls"]
            if row["errors"] >= MIN_FAILED and share >= SHARE and row["source"]:
                yield Candidate(
                    entry_key(row), row["errors"], row["failing"], row["errors"], row["source"],
                    row["target"], {"failed_share": f"{share:.0%}"},
                )  # fmt: skip

    def examine(self, candidate: Candidate, tree: TraceTree) -> Iterator[Occurrence]:
        for span in tree.spans:
            if span.service != candidate.service or span.shape is None or not _failed(span):
                continue
            if not span.reaches(candidate.target):
                continue
            server = tree.server(span)
            above = [other for other in tree.ancestors(span) if other is not span]
            within = above[: above.index(server) + 1] if server in above else []
            if not within or any(other.is_error or other.status >= 400 for other in within):
                continue
            if _tried_again(tree, span):
                continue
            yield Occurrence(
                span.service,
                server.name,
                span.shape.text,
                0.0,
                candidate.numbers,
                tree.place(span),
            )


def _failed(span: TreeSpan) -> bool:
    is_refused = 400 <= span.status < 500 and span.status not in RETRYABLE
    return span.is_error and not is_refused


def _tried_again(tree: TraceTree, span: TreeSpan) -> bool:
    parent = tree.parent(span)
    return parent is not None and any(
        other.shape == span.shape and other.start >= span.end for other in tree.children(parent)
    )


RULE = SwallowedErrors()
