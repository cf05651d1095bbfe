"""N+1 queries: a query for each row of another query's result."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise

from clew.analysis.findings.rule import (
    CLIENT_KINDS,
    Candidate,
    Occurrence,
    Rule,
    Traffic,
    entry_key,
)
from clew.analysis.findings.trees import TraceTree, is_sequential

REPETITIONS = 5  # Sentry's
SUM_NS = 50e6  # Sentry's
SHARE = 0.2  # of the parent: a fast database makes many cheap queries that are still most of it
GAP_NS = 1_000_000  # of the time to the next statement: driver and object mapper
PAGES = ("OFFSET", "FETCH NEXT")
SUMMARIES = {"BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "SET", "PRAGMA"}


class NPlusOneQueries(Rule):
    """See the module."""

    name = "n_plus_one_queries"
    title = "N+1 queries"
    meaning = "One span runs the same statement again and again, one after the other."
    thresholds = {
        "statements of one shape under one span": f"{REPETITIONS}",
        "their time, with up to 1 ms until the next": f"{SUM_NS / 1e6:.0f} ms, or {SHARE:.0%} of the span",
    }
    wrong_when = (
        "The statements are pages of one result (those with OFFSET are left out), a job's batches (traces that serve no "
        "request are left out), or failed and were tried again (failed ones do not count). An object mapper that puts a "
        "span of its own around each statement hides it."
    )
    mend = (
        "Read all rows with one statement: a join, `IN (…)`, or the object mapper's eager loading."
    )
    advice = (
        "{operation} runs “{subject}” {calls} times for each request, {sum_ms} ms in all. One statement for all rows "
        "(a join, IN, or eager loading) takes about {one_ms} ms."
    )

    def candidates(self, traffic: Traffic) -> Iterable[Candidate]:
        for row in traffic.operations:
            if row["repeating"] and row["kind"] in CLIENT_KINDS:
                yield Candidate(
                    entry_key(row), row["repeating"], row["repeated"], row["self"], row["service"]
                )

    def examine(self, candidate: Candidate, tree: TraceTree) -> Iterator[Occurrence]:
        if not tree.is_request:
            return
        for parent, shape, alike in tree.repeated_calls(REPETITIONS):
            calls = [call for call in alike if not call.is_error]
            if (
                shape.kind != "database"
                or parent.service != candidate.service
                or len(calls) < REPETITIONS
                or not is_sequential(calls)
                or _is_control(shape.text)
            ):
                continue
            gaps = sum(min(later.start - earlier.end, GAP_NS) for earlier, later in pairwise(calls))
            total = sum(call.duration for call in calls) + gaps
            if total < SUM_NS and total < SHARE * parent.duration:
                continue
            one = total / len(calls)
            yield Occurrence(
                parent.service,
                tree.server(parent).name,
                shape.text,
                max(0.0, tree.waited(calls) + gaps - one) if parent.row in tree.critical else 0.0,
                {"calls": len(calls), "sum_ms": total / 1e6, "one_ms": one / 1e6},
                tree.place(calls[0]),
            )


def _is_control(text: str) -> bool:
    words = text.upper()
    return words.split(" ")[0] in SUMMARIES or any(page in words for page in PAGES)


RULE = NPlusOneQueries()
