"""Names of high cardinality: spans whose names have ids or values in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from clew.analysis.findings.rule import Candidate, Occurrence, Rule, Traffic
from clew.analysis.findings.trees import TraceTree

MAX_NAMES = 200


class HighCardinalityNames(Rule):
    """See the module."""

    name = "high_cardinality_names"
    title = "Names of high cardinality"
    meaning = "The spans of a service have very many names: values such as ids stand in them."
    thresholds = {"names of the spans of a service": f"more than {MAX_NAMES}"}
    wrong_when = "The service really has so many operations."
    mend = "Name spans by their route or statement without values (`GET /orders/{id}`), and keep values in attributes."
    advice = (
        "The spans of {service} have {names} names, such as “{example}”. Name them without values: by route, not by path; "
        "or they are no operations that one can compare."
    )
    saves_time = False

    def candidates(self, traffic: Traffic) -> Iterable[Candidate]:
        for (environment, service), rows in traffic.operations_by_service.items():
            names = {row["operation"] for row in rows}
            if len(names) <= MAX_NAMES:
                continue
            largest = max(rows, key=lambda row: (row["traces"], row["operation"]))
            shown = min(names, key=lambda name: (not any(map(str.isdigit, name)), name))
            yield Candidate(
                (environment, largest["entry_service"], largest["entry_operation"]), largest["traces"], largest["newest"],
                len(names), service, numbers={"names": len(names), "service": service, "example": shown},
            )  # fmt: skip

    def examine(self, candidate: Candidate, tree: TraceTree) -> Iterator[Occurrence]:
        if any(span.service == candidate.service for span in tree.spans):
            yield Occurrence(candidate.service, "", "span names", 0.0, candidate.numbers)


RULE = HighCardinalityNames()
