"""Chatty services: many calls between two services, or many calls for one request."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from clew.analysis.findings.rule import Candidate, Occurrence, Rule, Traffic, entry_key
from clew.analysis.findings.trees import TraceTree
from clew.analysis.traces.paths import CLIENT

PER_TRACE = 10  # of one service by another
PER_REQUEST = 20  # calls of any kind
ONE_SHAPE = 0.5  # of the calls: then it is N+1


class Chatty(Rule):
    """See the module."""

    name = "chatty"
    title = "Chatty service"
    meaning = "A service makes many different calls to serve one request."
    thresholds = {
        "calls of one service by another in a trace": f"{PER_TRACE}",
        "or calls of any kind for a request": f"{PER_REQUEST}",
    }
    wrong_when = (
        "The service is a gateway, whose work is to call others. Where one call is half of them or more, N+1 says it better "
        "and this rule is silent."
    )
    mend = "Join calls: coarser endpoints, batches, a view of the data where it is needed."
    advice = "{operation} makes {calls} calls for one request, most of them of {subject}. Join them into few."

    def candidates(self, traffic: Traffic) -> Iterable[Candidate]:
        for row in traffic.operations:
            served = traffic.served.get((entry_key(row), row["service"]), 0)
            if row["kind"] in ("Server", "SPAN_KIND_SERVER") and served:
                calls = sum(
                    call["calls"]
                    for call in traffic.calls_by_source.get((entry_key(row), row["service"]), ())
                )
                if calls >= PER_TRACE * served:
                    yield Candidate(
                        entry_key(row), row["traces"], row["newest"], row["self"], row["service"]
                    )

    def examine(self, candidate: Candidate, tree: TraceTree) -> Iterator[Occurrence]:
        servers: dict[int, list[int]] = {}
        for span in tree.spans:
            if span.code == CLIENT and span.service == candidate.service and span.shape:
                servers.setdefault(tree.server(span).row, []).append(span.row)
        for row, rows in servers.items():
            calls = [tree.spans[number] for number in rows]
            shapes = Counter(call.shape for call in calls)
            targets = Counter(
                child.service for call in calls for child in tree.children(call)
                if child.service != call.service
            )  # fmt: skip
            name, number = targets.most_common(1)[0] if targets else ("databases and hosts", 0)
            is_many = len(calls) >= PER_REQUEST or number >= PER_TRACE
            if is_many and shapes.most_common(1)[0][1] < ONE_SHAPE * len(calls):
                waited = tree.waited(calls)
                yield Occurrence(
                    candidate.service,
                    tree.spans[row].name,
                    name,
                    waited * (1 - len(shapes) / len(calls)),
                    {"calls": len(calls)},
                    tree.place(calls[0]),
                )


RULE = Chatty()
