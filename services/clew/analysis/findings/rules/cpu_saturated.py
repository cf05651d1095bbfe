"""Processes that have no CPU time left."""

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
from clew.analysis.resources.constraints import CONSTRAINTS
from clew.analysis.resources.limits import FULL
from clew.analysis.texts import instance_text

MIN_SLOTS = 3  # of five minutes
ALWAYS = 0.9  # of the slots: then there is no other time to compare with
MIN_CALLS = 50
GROWN = 1.2  # own time of a request, against the begin of the hour
WORDS = {"cpu_one_core": "of one core", "cpu_container": "of its container's limit"}
CHECKED = [one for one in CONSTRAINTS if one.name in WORDS]


class CpuSaturated(Rule):
    """See the module."""

    name = "cpu_saturated"
    title = "CPU saturated"
    meaning = "A process uses all CPU time that it can have: of one core in Python and Node.js, whose code one thread at a time runs, or of its container's limit."
    thresholds = {
        "used share": f"{FULL:.0%} in {MIN_SLOTS} slots of five minutes",
        "and its requests' own time": f"{GROWN} times that of the begin of the hour, or all slots are full ({ALWAYS:.0%})",
    }
    wrong_when = (
        "The process is a batch worker, which may use all it has. The hosts' CPU is not looked at here, nor what no metric says (`process.cpu.time`, "
        "`container.cpu.*`, `k8s.container.cpu.*`): see [resources](resources.md)."
    )
    mend = "Profile what it computes and compute less; run more processes; raise the limit of the container."
    advice = "{service} uses {used} {limit} in {full} of {slots} slots of five minutes ({instance}). Profile it, or run more processes."
    saves_time = False

    def candidates(self, traffic: Traffic) -> Iterable[Candidate]:
        for service, points in traffic.points.items():
            for constraint in CHECKED:
                for instance, slots in constraint.used(points).items():
                    full = sum(share >= FULL for share in slots.values())
                    row = traffic.busiest(service)
                    if row is None or full < MIN_SLOTS:
                        continue
                    if full >= ALWAYS * len(slots) or _has_grown(row):
                        yield from traffic.of_service(
                            service,
                            {
                                "service": service, "limit": WORDS[constraint.name], "instance": instance_text(instance),
                                "used": f"{max(slots.values()):.0%}", "full": full, "slots": len(slots),
                            },
                        )  # fmt: skip

    def examine(self, candidate: Candidate, tree: TraceTree) -> Iterator[Occurrence]:
        yield from service_occurrence(candidate, tree, "CPU")


def _has_grown(row: queries.FindingOperationsRow) -> bool:
    early, late = row["early_calls"], row["late_calls"]
    if min(early, late) < MIN_CALLS:
        return False
    return row["late_self"] / late >= GROWN * row["early_self"] / early


RULE = CpuSaturated()
