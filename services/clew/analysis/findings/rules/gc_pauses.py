"""Garbage collections that stop a process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from clew.analysis import queries
from clew.analysis.findings.rule import (
    Candidate,
    Occurrence,
    Rule,
    Traffic,
    service_occurrence,
)
from clew.analysis.findings.trees import TraceTree
from clew.analysis.texts import instance_text
from clew.analysis.traces.times import HOUR

SHARE = 0.05  # of the time
PAUSE_S = 0.05  # on average
MIN_PAUSES = 20


class GcPauses(Rule):
    """See the module."""

    name = "gc_pauses"
    title = "Garbage collection"
    meaning = "A process is often, or for long, stopped by its garbage collector."
    thresholds = {
        "share of the last hour": f"{SHARE:.0%}",
        "or a pause, on average": f"{PAUSE_S * 1000:.0f} ms, of {MIN_PAUSES} pauses",
    }
    wrong_when = (
        "The collector works beside the program and its metric counts that too (ZGC, Shenandoah); the host is starved. Known for the JVM, Node.js and .NET: "
        "`jvm.gc.duration`, `v8js.gc.duration`, `dotnet.gc.pause.time`. Python has no such metric."
    )
    mend = "Allocate less, give it more memory, choose another collector; look for a leak."
    advice = "Garbage collections stop {service} ({instance}) for {share} of the time, {pause_ms} ms each. Allocate less, or give it more memory."
    saves_time = False

    def candidates(self, traffic: Traffic) -> Iterable[Candidate]:
        seconds = min(traffic.seconds, HOUR)
        for row in traffic.rows(queries.FINDING_PAUSES):
            share = row["seconds"] / seconds
            pause = row["seconds"] / row["pauses"] if row["pauses"] else 0.0
            if share >= SHARE or (pause >= PAUSE_S and row["pauses"] >= MIN_PAUSES):
                yield from traffic.of_service(
                    row["service"],
                    {
                        "service": row["service"], "instance": instance_text(row["source"]), "share": f"{share:.1%}",
                        "pause_ms": pause * 1000,
                    },
                )  # fmt: skip

    def examine(self, candidate: Candidate, tree: TraceTree) -> Iterator[Occurrence]:
        yield from service_occurrence(candidate, tree, "garbage collection")


RULE = GcPauses()
