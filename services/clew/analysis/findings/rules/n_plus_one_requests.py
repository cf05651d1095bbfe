"""N+1 requests: a request for each element of a list."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from clew.analysis.findings.rule import (
    CLIENT_KINDS,
    Candidate,
    Occurrence,
    Rule,
    Traffic,
    entry_key,
)
from clew.analysis.findings.trees import URL, TraceTree, is_sequential

REPETITIONS = 5
SUM_NS = 100e6
SHARE = 0.2  # of the parent
IGNORED = ("health", "ready", "live", "ping", "status", "poll", "graphql", "stream", "events")


class NPlusOneRequests(Rule):
    """See the module."""

    name = "n_plus_one_requests"
    title = "N+1 requests"
    meaning = "One span asks the same service for one thing after the other, or for all at once."
    thresholds = {
        "requests of one method and path under one span": f"{REPETITIONS}",
        "their time": f"{SUM_NS / 1e6:.0f} ms, or {SHARE:.0%} of the span",
    }
    wrong_when = (
        "The path is a probe's, is polled, streams or is GraphQL's (paths that say so are left out, and requests of which most "
        "have the same URL). Spans without a URL are told apart by method and host alone."
    )
    mend = "Ask for all with one request; until there is one, ask at the same time, with a limit."
    advice = (
        "{operation} sends {calls} requests “{subject}” for each request that it serves, {sum_ms} ms of its time. "
        "One request for all, or a few at the same time, takes about {one_ms} ms."
    )

    def candidates(self, traffic: Traffic) -> Iterable[Candidate]:
        for row in traffic.operations:
            if row["repeating"] and row["kind"] in CLIENT_KINDS:
                yield Candidate(
                    entry_key(row), row["repeating"], row["repeated"], row["self"], row["service"]
                )

    def examine(self, candidate: Candidate, tree: TraceTree) -> Iterator[Occurrence]:
        for parent, shape, alike in tree.repeated_calls(REPETITIONS):
            calls = [call for call in alike if not call.is_error]
            urls = {call.text(URL) for call in calls} - {""}
            if (
                shape.kind != "request"
                or parent.service != candidate.service
                or len(calls) < REPETITIONS
                or (urls and len(urls) < len(calls) / 2)
                or any(word in shape.text.lower() for word in IGNORED)
            ):
                continue
            total = sum(call.duration for call in calls)
            if total < SUM_NS and total < SHARE * parent.duration:
                continue
            waited, one = tree.waited(calls), total / len(calls)
            yield Occurrence(
                parent.service,
                tree.server(parent).name,
                shape.text,
                max(0.0, waited - one),
                {
                    "calls": len(calls),
                    "sum_ms": total / 1e6,
                    "one_ms": one / 1e6,
                    "serial": float(is_sequential(calls)),
                },
                tree.place(calls[0]),
            )


RULE = NPlusOneRequests()
