"""Cold starts: the first requests of a new instance take long."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from clew.analysis import queries
from clew.analysis.findings.rule import Candidate, Occurrence, Rule, Traffic
from clew.analysis.findings.trees import TraceTree
from clew.analysis.traces.paths import CONSUMER, SERVER

SLOW = 3.0  # times the p95 of the entry
SECONDS = 120  # after the start of an instance
MIN_STARTS = 3
MAX_STARTS = 50


class ColdStart(Rule):
    """See the module."""

    name = "cold_start"
    title = "Cold start"
    meaning = "The first requests of an instance that has just started take far longer than others."
    thresholds = {
        "the trace": f"{SLOW:.0f} times the p95 of its transaction",
        "begins after the start of an instance of a service in it": f"{SECONDS} s at most",
        "starts": f"{MIN_STARTS} in the last hour",
    }
    wrong_when = (
        "The instance was started because something else was slow. An instance starts when its metrics say (`process.cpu.time`, `jvm.cpu.time`): without them nothing is seen. "
        "As for any finding, at least 1 % of the transaction's traces must have it: a few starts a day are no finding."
    )
    mend = "Load and connect before the instance says that it is ready; keep some warm; start fewer, larger ones."
    advice = "The first requests of new instances of {service} ({starts} in the last hour) take {trace_ms} ms, where p95 is {usual_ms} ms. Warm them up before they are ready."

    def candidates(self, traffic: Traffic) -> Iterable[Candidate]:
        starts: dict[str, list[queries.FindingStartsRow]] = {}
        for row in traffic.rows(queries.FINDING_STARTS, limit=1000):
            starts.setdefault(row["service"], []).append(row)
        new = [row for group in starts.values() if len(group) >= MIN_STARTS for row in group]
        new = new[:MAX_STARTS]
        if not new:
            return
        for first in traffic.rows(
            queries.FINDING_FIRST_TRACES,
            services=[row["service"] for row in new],
            starts=[row["started"] for row in new],
        ):
            key = first["environment"], first["entry_service"], first["entry_operation"]
            if entry := traffic.entries.get(key):
                group = starts[first["service"]]
                yield Candidate(
                    key, len(first["slow"]), first["slow"], len(group), first["service"],
                    numbers={
                        "usual": entry["quantiles"][1], "starts": len(group),
                        **{f"instance {row['source']}": row["started"] for row in group},
                    },
                )  # fmt: skip

    def examine(self, candidate: Candidate, tree: TraceTree) -> Iterator[Occurrence]:
        usual = float(candidate.numbers["usual"])
        if tree.entry.duration <= SLOW * usual:
            return
        for span in tree.spans:
            started = candidate.numbers.get(f"instance {span.instance}")
            if span.service != candidate.service or started is None:
                continue
            age = span.start / 1e9 - float(started)
            if span.code in (SERVER, CONSUMER) and -1 <= age <= SECONDS:
                yield Occurrence(
                    span.service,
                    span.name,
                    "first requests",
                    max(0.0, min(tree.entry.duration - usual, tree.waited([span]))),
                    {
                        "trace_ms": tree.entry.duration / 1e6,
                        "usual_ms": usual / 1e6,
                        "service": span.service,
                        "starts": candidate.numbers["starts"],
                    },
                    tree.place(span),
                )
                return


RULE = ColdStart()
