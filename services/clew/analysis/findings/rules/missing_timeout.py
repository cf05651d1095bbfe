"""A missing timeout: the longest calls take as long as they like."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from clew.analysis.findings.rule import Candidate, Occurrence, Rule, Traffic, entry_key
from clew.analysis.findings.trees import TraceTree

LONG_NS = 30e9
TAIL = 50.0  # times the p95
MIN_NS = 5e9  # beyond TAIL; a fast call that once took a second has no missing timeout
MIN_CALLS = 3
SPREAD = 0.05  # calls whose times differ by less pile up at a timeout


class MissingTimeout(Rule):
    """See the module."""

    name = "missing_timeout"
    title = "Missing timeout"
    meaning = "The longest calls take far longer than others, and end at no common value as those of a timeout do."
    thresholds = {
        "the longest calls": f"{LONG_NS / 1e9:.0f} s, or {TAIL:.0f} times p95 and {MIN_NS / 1e9:.0f} s",
        "calls as long, of different times": f"{MIN_CALLS}",
    }
    wrong_when = "The call streams, or waits for news on purpose (long polling)."
    mend = "Set a timeout for connecting and for answering, shorter than that of whoever waits for you."
    advice = (
        "“{subject}” took up to {longest_s} s, and no timeout ended it. Set one a little above what is usual "
        "({usual_ms} ms at p95), and shorter than the caller's."
    )
    saves_time = False

    def candidates(self, traffic: Traffic) -> Iterable[Candidate]:
        for row in traffic.calls:
            p95 = row["quantiles"][1]
            is_long = row["longest"] >= LONG_NS or row["longest"] >= max(TAIL * p95, MIN_NS)
            if is_long and row["type"] in ("service", "external", "database") and row["slow"]:
                yield Candidate(
                    entry_key(row), len(row["slow"]), row["slow"], row["longest"], row["source"],
                    row["target"],
                    {"limit": min(LONG_NS, max(TAIL * p95, MIN_NS)), "usual_ms": p95 / 1e6},
                )  # fmt: skip

    def examine(self, candidate: Candidate, tree: TraceTree) -> Iterator[Occurrence]:
        limit = float(candidate.numbers["limit"])
        for span in tree.spans:
            is_call = span.service == candidate.service and span.shape is not None
            if is_call and span.duration >= limit and span.reaches(candidate.target):
                yield Occurrence(
                    span.service,
                    tree.server(span).name,
                    span.shape.text if span.shape else span.name,
                    0.0,
                    {
                        "longest_s": span.duration / 1e9,
                        "usual_ms": float(candidate.numbers["usual_ms"]),
                    },
                    tree.place(span),
                )

    def accepts(self, occurrences: Sequence[Occurrence]) -> bool:
        seconds = sorted(float(one.numbers["longest_s"]) for one in occurrences)[-MIN_CALLS:]
        return len(seconds) == MIN_CALLS and seconds[-1] - seconds[0] > SPREAD * seconds[-1]


RULE = MissingTimeout()
