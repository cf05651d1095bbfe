"""A connection pool that has no connection left."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from clew.analysis.findings.rule import Candidate, Occurrence, Rule, Traffic, entry_key
from clew.analysis.findings.trees import NAMESPACE, SYSTEM, TraceTree
from clew.analysis.resources.constraints import CONSTRAINTS

CONNECT = "connect"
WAITS_NS = 20e6  # of a connection, at p95
TAIL = 5.0  # times its p50: most are there at once
MIN_WAIT_NS = 10e6  # of an occurrence
FULL, FREE = 0.95, 0.8  # used share of a pool, as metrics say
(POOLS,) = (one for one in CONSTRAINTS if one.name == "connection_pool")


class PoolFull(Rule):
    """See the module."""

    name = "pool_full"
    title = "Connection pool full"
    meaning = "A request waits for a connection of the pool, which most requests have at once."
    thresholds = {
        f"time of the span `{CONNECT}`, p95": f"{WAITS_NS / 1e6:.0f} ms, and {TAIL:.0f} times p50",
        "the pool, where metrics tell": f"not below {FREE:.0%} all the time (full: {FULL:.0%}, or requests wait)",
    }
    wrong_when = (
        "The span opens a new connection, and that is slow at times: without metrics of the pool (`db.client.connection.*`) the two look the same. "
        "A pool that has one connection on purpose."
    )
    mend = "Give connections back sooner: no calls to others while one is held, shorter transactions. Then enlarge the pool, as far as the database allows."
    advice = (
        "A request waits {wait_ms} ms for the {subject}, where most have a connection in {usual_ms} ms{metrics}. Hold connections for a "
        "shorter time, then enlarge the pool."
    )

    def candidates(self, traffic: Traffic) -> Iterable[Candidate]:
        waiting = [
            row
            for row in traffic.operations
            if row["operation"].lower() == CONNECT
            and row["self_quantiles"][1] >= max(WAITS_NS, TAIL * row["self_quantiles"][0])
        ]
        for row in waiting:
            used = _used(traffic, row["service"])
            if used is not None and used < FREE:
                continue
            usual, slow = row["self_quantiles"]
            numbers: dict[str, float | str] = {
                "usual": usual,
                "metrics": f"; {used:.0%} of the pool are used at the peak" if used else "",
            }
            yield Candidate(
                entry_key(row), row["traces"], row["newest"], slow * row["calls"], row["service"],
                numbers=numbers,
            )  # fmt: skip

    def examine(self, candidate: Candidate, tree: TraceTree) -> Iterator[Occurrence]:
        usual = float(candidate.numbers["usual"])
        for span in tree.spans:
            if span.service != candidate.service or span.name.lower() != CONNECT:
                continue
            waited = tree.waited([span])
            if waited >= max(MIN_WAIT_NS, TAIL * usual):
                pool = "/".join(filter(None, (span.text(SYSTEM), span.text(NAMESPACE))))
                # A pool is one finding, whichever operations wait for it.
                yield Occurrence(
                    span.service,
                    "",
                    f"connection pool of {pool}" if pool else "connection pool",
                    waited - usual,
                    {
                        "wait_ms": waited / 1e6,
                        "usual_ms": usual / 1e6,
                        "metrics": candidate.numbers["metrics"],
                    },
                    tree.place(span),
                )


def _used(traffic: Traffic, service: str) -> float | None:
    """The greatest used share of a service's pools; None where no metric says it."""
    if service not in traffic.points:
        return None
    used = POOLS.used(traffic.points[service]).values()
    return max((share for slots in used for share in slots.values()), default=None)


RULE = PoolFull()
