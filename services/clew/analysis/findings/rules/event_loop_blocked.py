"""An event loop that one operation blocks for all others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from clew.analysis import queries
from clew.analysis.findings.rule import (
    SERVER_KINDS,
    Candidate,
    Occurrence,
    Rule,
    Traffic,
    entry_key,
)
from clew.analysis.findings.trees import TraceTree
from clew.analysis.traces.paths import SERVER

BLOCKS_NS = 100e6  # own time of a call, at p50
WAITS_NS = 20e6  # own time of other operations, at p95
TAIL = 5.0  # times their p50
MIN_VICTIMS = 2  # operations
DELAY_S = 0.1  # of nodejs.eventloop.delay.p99
MIN_SLOTS = 3  # of five minutes
LANGUAGES = ("", "python", "nodejs")  # of the SDK: those with one loop


class EventLoopBlocked(Rule):
    """See the module."""

    name = "event_loop_blocked"
    title = "Event loop blocked"
    meaning = "An operation works or sleeps so long at a time that other operations of its service wait, at times for about as long."
    thresholds = {
        "own time of the operation, p50": f"{BLOCKS_NS / 1e6:.0f} ms",
        "other operations of the service whose own time has a tail": f"{MIN_VICTIMS}, with p95 at least {WAITS_NS / 1e6:.0f} ms and {TAIL:.0f} times p50",
        "or `nodejs.eventloop.delay.p99`": f"{DELAY_S * 1000:.0f} ms in {MIN_SLOTS} slots of five minutes",
        "language of the SDK": "Python, Node.js or unknown",
    }
    wrong_when = (
        "The operation is slow in a thread of its own and the others have tails of another cause: traces do not say which thread ran. "
        "A host that has no CPU time left looks the same."
    )
    mend = (
        "Do not block in a coroutine: await an asynchronous client, or use asyncio.to_thread, run_in_executor, a plain `def` route, or a worker thread; "
        "hand long computations to another process."
    )
    advice = (
        "{operation} keeps the event loop for {own_ms} ms, and {victims} other operations of the service wait up to {wait_ms} ms (p95). Await it, "
        "or move it to a thread."
    )

    def candidates(self, traffic: Traffic) -> Iterable[Candidate]:
        delayed = _delayed(traffic)
        for row in traffic.operations:
            if row["kind"] not in SERVER_KINDS or row["self_quantiles"][0] < BLOCKS_NS:
                continue
            victims = _victims(traffic, row)
            if len(victims) >= MIN_VICTIMS or row["service"] in delayed:
                numbers = {
                    "victims": len(victims),
                    "wait_ms": max(victims.values(), default=delayed.get(row["service"], 0.0)),
                }
                yield Candidate(
                    entry_key(row), row["traces"], row["newest"], row["self"], row["service"],
                    row["operation"], numbers,
                )  # fmt: skip

    def examine(self, candidate: Candidate, tree: TraceTree) -> Iterator[Occurrence]:
        for span in tree.spans:
            if (span.service, span.name) != (candidate.service, candidate.target):
                continue
            blocked = tree.own_times[span.row]
            if span.code == SERVER and span.language in LANGUAGES and blocked >= BLOCKS_NS:
                yield Occurrence(
                    span.service,
                    span.name,
                    "event loop",
                    blocked if span.row in tree.critical else 0.0,
                    {"own_ms": blocked / 1e6, **candidate.numbers},
                    tree.place(span),
                )


def blocked_services(traffic: Traffic) -> set[str]:
    """The services that may have a blocked event loop."""
    return {candidate.service for candidate in RULE.candidates(traffic)}


def _victims(traffic: Traffic, blocking: queries.FindingOperationsRow) -> dict[str, float]:
    """The operations of the service that wait at times, with the p95 of their own time in ms."""
    key = blocking["environment"], blocking["service"]
    return {
        row["operation"]: row["self_quantiles"][1] / 1e6
        for row in traffic.operations_by_service[key]
        if row["kind"] in SERVER_KINDS and row["operation"] != blocking["operation"]
        if row["self_quantiles"][1] >= max(WAITS_NS, TAIL * row["self_quantiles"][0])
    }


def _delayed(traffic: Traffic) -> dict[str, float]:
    """By service the greatest delay of its loop in ms, as its metrics say, where it lasts."""
    delayed = {}
    for service, points in traffic.points.items():
        delays = [point.value for point in points.first("nodejs.eventloop.delay.p99")]
        if sum(delay >= DELAY_S for delay in delays) >= MIN_SLOTS:
            delayed[service] = max(delays) * 1000
    return delayed


RULE = EventLoopBlocked()
