"""Waits before work: requests wait for a worker, a thread or a lock before they do anything."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from clew.analysis import queries
from clew.analysis.findings.rule import (
    ENTRY_KINDS,
    Candidate,
    Change,
    Occurrence,
    Rule,
    Traffic,
    entry_key,
)
from clew.analysis.findings.rules.event_loop_blocked import blocked_services
from clew.analysis.findings.trees import TraceTree
from clew.analysis.traces.paths import CONSUMER, SERVER

MIN_CALLS = 50  # in the begin and in the end of the time that is looked at
GROWN = 2.0  # own time of a call, against the begin
MIN_GROWN_NS = 10e6
MORE_AT_ONCE = 1.5  # requests that are in it at the same time, against the begin


class WaitsBeforeWork(Rule):
    """See the module."""

    name = "waits_before_work"
    title = "Waits before work"
    meaning = "Requests of an operation do nothing for longer than they did, before their first call, and more of them wait at once."
    thresholds = {
        "own time of a request": f"{GROWN:.0f} times that of the begin, and {MIN_GROWN_NS / 1e6:.0f} ms more",
        "requests in it at once": f"{MORE_AT_ONCE} times as many",
        "until the first call": f"{GROWN:.0f} times what all own time was, and {MIN_GROWN_NS / 1e6:.0f} ms",
        "requests in the first and in the last third of the time": f"{MIN_CALLS}",
    }
    wrong_when = (
        "The operation does work of its own before its first call, such as hashing a password, and has more of it than it had: it "
        "looks the same. What has been so for longer than the time that is looked at is not seen. Where the event loop is blocked, that rule says it."
    )
    mend = "More workers or threads, a larger pool, shorter locks; or fewer requests: a limit that refuses them early."
    advice = (
        "{operation} waits {wait_ms} ms before its first call; all its own time was {usual_ms} ms before. Look at what it queues for: "
        "workers, threads, a pool, a lock."
    )
    sees_changes = True

    def candidates(self, traffic: Traffic) -> Iterable[Candidate]:
        blocked = blocked_services(traffic)
        for row in traffic.operations:
            if row["kind"] in ENTRY_KINDS and row["service"] not in blocked and _has_grown(row):
                late = row["traces"] * row["late_calls"] / row["calls"]
                yield Candidate(
                    entry_key(row), late, row["newest"], row["late_self"] - row["early_self"],
                    row["service"], row["operation"],
                    {"usual": row["early_self"] / row["early_calls"]},
                    row["early_self"] / row["early_calls"],
                )  # fmt: skip

    def examine(self, candidate: Candidate, tree: TraceTree) -> Iterator[Occurrence]:
        usual = float(candidate.numbers["usual"])
        for span in tree.spans:
            if (span.service, span.name) != (candidate.service, candidate.target):
                continue
            waited = tree.waiting(span) if span.code in (SERVER, CONSUMER) else 0
            if waited >= max(MIN_GROWN_NS, GROWN * usual):
                yield Occurrence(
                    span.service,
                    span.name,
                    "before the first call",
                    waited - usual if span.row in tree.critical else 0.0,
                    {"wait_ms": waited / 1e6, "usual_ms": usual / 1e6},
                    tree.place(span),
                )

    def persists(self, change: Change, traffic: Traffic) -> bool:
        rows = [
            row
            for row in traffic.operations_by_service.get((change.environment, change.service), ())
            if row["operation"] == change.target and row["kind"] in ENTRY_KINDS
        ]
        calls = sum(row["late_calls"] for row in rows)
        if change.usual is None or 0 < calls < MIN_CALLS:
            return True
        return calls > 0 and _is_longer(sum(row["late_self"] for row in rows) / calls, change.usual)


def _has_grown(row: queries.FindingOperationsRow) -> bool:
    early, late = row["early_calls"], row["late_calls"]
    if min(early, late) < MIN_CALLS:
        return False
    before, now = row["early_self"] / early, row["late_self"] / late
    # The begin and the end are of one length: by Little's law their sums compare how many are in it at once.
    is_crowded = row["late_self"] >= MORE_AT_ONCE * row["early_self"]
    return is_crowded and _is_longer(now, before)


def _is_longer(now: float, before: float) -> bool:
    return now >= max(GROWN * before, before + MIN_GROWN_NS)


RULE = WaitsBeforeWork()
