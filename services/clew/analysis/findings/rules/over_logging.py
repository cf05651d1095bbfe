"""Over-logging: many log records for each request."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from clew.analysis.findings.rule import Candidate, Occurrence, Rule, Traffic, entry_key
from clew.analysis.findings.trees import TraceTree
from clew.analysis.traces.paths import SERVER

PER_REQUEST = 50  # records
MIN_REQUESTS = 20


class OverLogging(Rule):
    """See the module."""

    name = "over_logging"
    title = "Over-logging"
    meaning = "A service writes many log records for each request that it serves."
    thresholds = {"log records for a SERVER span": f"{PER_REQUEST}", "requests": f"{MIN_REQUESTS}"}
    wrong_when = "The service does other work than serving requests, and logs that."
    mend = "Log what one would look for: once for a request, with its fields; the rest at a level that is off."
    advice = "{service} writes {records} log records for each request. Log once for a request, with its fields; lower the level of the rest."
    saves_time = False

    def candidates(self, traffic: Traffic) -> Iterable[Candidate]:
        for service, per_second in traffic.records.items():
            entries = {
                entry: number for (entry, name), number in traffic.served.items() if name == service
            }
            served = sum(entries.values())
            if served < MIN_REQUESTS:
                continue
            per_request = per_second * traffic.seconds / served
            if per_request > PER_REQUEST:
                entry = max(entries, key=lambda key: (entries[key], key))
                traces = next(
                    row["newest"]
                    for row in traffic.operations
                    if row["service"] == service and entry_key(row) == entry
                )
                yield Candidate(
                    entry, entries[entry], traces, per_request, service,
                    numbers={"records": per_request, "service": service},
                )  # fmt: skip

    def examine(self, candidate: Candidate, tree: TraceTree) -> Iterator[Occurrence]:
        for span in tree.spans:
            if span.service == candidate.service and span.code == SERVER:
                yield Occurrence(span.service, "", "log records", 0.0, candidate.numbers)
                return


RULE = OverLogging()
