"""A connection for each request."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from clew.analysis.findings.rule import Candidate, Occurrence, Rule, Traffic, entry_key
from clew.analysis.findings.trees import TraceTree
from clew.analysis.traces.paths import CLIENT

SHARE = 0.8  # of the calls
NAMES = (
    "connect",
    "tcp.connect",
    "tls.connect",
    "tls.handshake",
    "tls handshake",
    "dns.lookup",
    "dns",
)
POOLS = ("sqlalchemy",)  # scopes whose span `connect` takes a connection out of a pool


class ConnectionPerRequest(Rule):
    """See the module."""

    name = "connection_per_request"
    title = "Connection per request"
    meaning = "Nearly each call opens a connection of its own."
    thresholds = {"calls with a span that connects": f"{SHARE:.0%}"}
    wrong_when = (
        "The span that is called connect takes a connection out of a pool, as SQLAlchemy's does (left out), or the callee "
        "must be asked over a new connection each time."
    )
    mend = "Share one client or session, with keep-alive and a pool that is large enough."
    advice = (
        "{operation} connects for {connects} of {calls} calls, which takes {connect_ms} ms. Share one client with a pool of "
        "connections."
    )

    def candidates(self, traffic: Traffic) -> Iterable[Candidate]:
        for row in traffic.operations:
            if row["operation"].lower() in NAMES:
                yield Candidate(
                    entry_key(row), row["traces"], row["newest"], row["self"], row["service"]
                )

    def examine(self, candidate: Candidate, tree: TraceTree) -> Iterator[Occurrence]:
        connects = [
            span
            for span in tree.spans
            if span.service == candidate.service
            and span.name.lower() in NAMES
            and not any(pool in span.scope for pool in POOLS)
        ]
        calls = [
            span
            for span in tree.spans
            if span.service == candidate.service and span.code == CLIENT and span.shape
        ]
        if connects and len(connects) >= SHARE * len(calls):
            total = sum(span.duration for span in connects)
            yield Occurrence(
                candidate.service,
                tree.server(connects[0]).name,
                connects[0].name,
                tree.waited(connects),
                {
                    "connects": len(connects),
                    "calls": max(len(calls), len(connects)),
                    "connect_ms": total / 1e6,
                },
                tree.place(connects[0]),
            )


RULE = ConnectionPerRequest()
