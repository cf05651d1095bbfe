"""Memory that only grows."""

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
from clew.analysis.resources.limits import LEAK_HOURS, LEAK_RISING, LEAK_SHARE, leaks
from clew.analysis.resources.points import Points, ResourcePoint
from clew.analysis.texts import instance_text, size_text
from clew.analysis.traces.times import HOUR

HOURS = 6
BEFORE = 24  # hours: a day's rise and fall is no leak
METRIC = "process.memory.usage"


class MemoryLeak(Rule):
    """See the module."""

    name = "memory_leak"
    title = "Memory leak"
    meaning = f"The memory of an instance only grows, over the last {HOURS} hours, to more than in the {BEFORE} hours before."
    thresholds = {
        "growth (Theil–Sen)": f"{LEAK_SHARE:.0%} of its memory an hour, over {LEAK_HOURS:.0f} hours or more",
        "pairs of slots of ten minutes that rise": f"{LEAK_RISING:.0%}",
    }
    wrong_when = "A cache fills, or the load grows, for the first time: both look the same until they stop. It needs `process.memory.usage`, which clew's agent sends."
    mend = (
        "Compare two snapshots of its heap, an hour apart: what there is more of in the second is kept. In Python "
        '`tracemalloc.start(25)` at the start, then `take_snapshot().compare_to(first, "traceback")`, which names the lines; on '
        "the JVM `jcmd PID GC.class_histogram`; in Node.js `--heapsnapshot-signal`; in Go `pprof -diff_base`. Bound caches; close what is opened."
    )
    advice = (
        "{service} ({instance}) has grown by {growth} an hour for {hours} hours, {share} of its memory. Compare two snapshots of its heap, an hour apart, by the lines that allocate: "
        "tracemalloc in Python, jcmd PID GC.class_histogram on the JVM, heap snapshots in Node.js, pprof in Go. What there is more of is kept by a cache "
        "without a bound, a list of a module, or what is opened and not closed."
    )
    saves_time = False

    def candidates(self, traffic: Traffic) -> Iterable[Candidate]:
        for row in traffic.rows(queries.FINDING_MEMORY, (HOURS + BEFORE) * HOUR):
            points = Points(
                ResourcePoint(METRIC, row["source"], "", {}, at, value)
                for at, value in row["values"]
            )
            for leak in leaks(points):
                yield from traffic.of_service(
                    row["service"],
                    {
                        "service": row["service"], "instance": instance_text(leak.source), "hours": leak.hours,
                        "growth": size_text(leak.bytes_per_hour), "share": f"{leak.share_per_hour:.0%}",
                    },
                )  # fmt: skip

    def examine(self, candidate: Candidate, tree: TraceTree) -> Iterator[Occurrence]:
        yield from service_occurrence(candidate, tree, "memory")


RULE = MemoryLeak()
