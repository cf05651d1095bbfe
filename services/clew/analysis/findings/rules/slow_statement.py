"""Slow statements."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from clew.analysis.findings.hints import hints
from clew.analysis.findings.rule import Candidate, Occurrence, Rule, Traffic, entry_key
from clew.analysis.findings.trees import TraceTree

SLOW_NS = 500e6  # Sentry's
SHARE = 0.1  # of all time in databases
TAIL = 3.0  # p95 of p50
MIN_TAIL_NS = 20e6  # a p95 below this is no one's trouble
FAST_NS = 50e6  # what a statement that was mended may still take


class SlowStatement(Rule):
    """See the module."""

    name = "slow_statement"
    title = "Slow statement"
    meaning = "A statement often takes long, or takes much of the time in databases and is at times far slower than usual."
    thresholds = {
        "p95": f"{SLOW_NS / 1e6:.0f} ms",
        "or": f"{SHARE:.0%} of all time in databases, and p95 at least {TAIL:.0f} times p50 and {MIN_TAIL_NS / 1e6:.0f} ms",
    }
    wrong_when = (
        "The statement waits for a lock or a connection, or is a report that may take long. clew sees no plan, so it never says "
        "that an index is missing; hints say what in the text is often slow, where the extra `clew[advice]` (sqlglot) is installed."
    )
    mend = (
        "Look at its plan (EXPLAIN ANALYZE). Read fewer rows and columns; mend what the hints say."
    )
    advice = "“{subject}” takes {slow_ms} ms where it is slow, {usual_ms} ms usually. Look at its plan (EXPLAIN ANALYZE).{hints}"

    def candidates(self, traffic: Traffic) -> Iterable[Candidate]:
        everything = sum(row["total"] for row in traffic.calls if row["type"] == "database")
        for row in traffic.calls:
            if row["type"] != "database":
                continue
            p50, p95 = row["quantiles"]
            is_much = row["total"] >= SHARE * everything and p95 >= MIN_TAIL_NS
            if p95 >= SLOW_NS or (is_much and p95 >= TAIL * p50):
                limit = max(min(p50 * TAIL, SLOW_NS), FAST_NS)
                yield Candidate(
                    entry_key(row), row["traces"], row["slow"] or row["newest"], row["total"],
                    row["source"], row["target"],
                    {"limit": limit, "usual": p50, "summary": row["summary"]},
                )  # fmt: skip

    def examine(self, candidate: Candidate, tree: TraceTree) -> Iterator[Occurrence]:
        limit, usual = (float(candidate.numbers[name]) for name in ("limit", "usual"))
        for span in tree.spans:
            if span.service == candidate.service and span.shape and span.statement:
                is_other = candidate.numbers["summary"] not in ("", span.summary)
                if is_other or span.duration < limit or span.row not in tree.critical:
                    continue
                yield Occurrence(
                    span.service,
                    tree.server(span).name,
                    span.shape.text,
                    span.duration - min(usual, FAST_NS),
                    {
                        "slow_ms": span.duration / 1e6,
                        "usual_ms": usual / 1e6,
                        "hints": hints(span.statement),
                    },
                    tree.place(span),
                )


RULE = SlowStatement()
