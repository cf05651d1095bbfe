"""What a rule of findings is.

A rule chooses candidates from what settled traces say of a stretch of time (`Traffic`), and
confirms them on the spans of at most 30 traces each. It knows neither clock nor tables.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

from clew.analysis import queries
from clew.analysis.findings.trees import TraceTree

Entry = tuple[str, str, str]  # environment, service and operation by which traces came in
Numbers = Mapping[str, float | str]


@dataclass(frozen=True)
class Traffic:
    """The settled traces of a stretch of time. `seconds`: its length; `records`: log records a
    second by service."""

    entries: Mapping[Entry, queries.FindingEntriesRow]
    operations: Sequence[queries.FindingOperationsRow]
    calls: Sequence[queries.FindingCallsRow]
    seconds: float
    records: Mapping[str, float]

    @cached_property
    def operations_by_service(
        self,
    ) -> Mapping[tuple[str, str], Sequence[queries.FindingOperationsRow]]:
        """By environment and service, its operations in all transactions."""
        operations: dict[tuple[str, str], list[queries.FindingOperationsRow]] = {}
        for row in self.operations:
            operations.setdefault((row["environment"], row["service"]), []).append(row)
        return operations

    @cached_property
    def served(self) -> Mapping[tuple[Entry, str], int]:
        """By entry and service, the SERVER spans."""
        counts: dict[tuple[Entry, str], int] = {}
        for row in self.operations:
            if row["kind"] in SERVER_KINDS:
                key = (entry_key(row), row["service"])
                counts[key] = counts.get(key, 0) + row["calls"]
        return counts

    @cached_property
    def calls_by_source(self) -> Mapping[tuple[Entry, str], Sequence[queries.FindingCallsRow]]:
        """By entry and service, the calls that the service makes."""
        calls: dict[tuple[Entry, str], list[queries.FindingCallsRow]] = {}
        for row in self.calls:
            if row["type"] != "consumed":
                calls.setdefault((entry_key(row), row["source"]), []).append(row)
        return calls


SERVER_KINDS = ("Server", "SPAN_KIND_SERVER")
CLIENT_KINDS = ("Client", "SPAN_KIND_CLIENT")


def entry_key(row: queries.FindingOperationsRow | queries.FindingCallsRow) -> Entry:
    """The entry of the traces that a row counts."""
    return row["environment"], row["entry_service"], row["entry_operation"]


@dataclass(frozen=True)
class Candidate:
    """What may be a finding: traces of one entry, `affected` of them in the whole stretch, of which
    `traces` are the newest, each (id, start in nanoseconds). `weight`: what it may cost, to order
    candidates; `service` and `target`: where the rule looks."""

    entry: Entry
    affected: float
    traces: Sequence[tuple[str, int]]
    weight: float
    service: str = ""
    target: str = ""
    numbers: Numbers = field(default_factory=dict)


@dataclass(frozen=True)
class Occurrence:
    """A rule's match in one trace. `saved_ns`: of the time of its critical path, what the mend
    saves. `subject`: what is the same in all traces: the statement, the request, the host.
    `numbers`: for the advice; those that are text must be the same in all traces."""

    service: str
    operation: str
    subject: str
    saved_ns: float
    numbers: Numbers
    place: str = ""


class Rule(ABC):
    """A rule. `advice`: a template with the names of the occurrences' numbers."""

    name: ClassVar[str]
    title: ClassVar[str]
    meaning: ClassVar[str]
    wrong_when: ClassVar[str]
    mend: ClassVar[str]
    thresholds: ClassVar[Mapping[str, str]]
    advice: ClassVar[str]
    saves_time: ClassVar[bool] = True  # whether a finding must save time to be opened
    least_share: ClassVar[float] = 0.0  # of the looked-at traces that must show it

    @abstractmethod
    def candidates(self, traffic: Traffic) -> Iterable[Candidate]:
        """What may be a finding of this rule."""

    @abstractmethod
    def examine(self, candidate: Candidate, tree: TraceTree) -> Iterator[Occurrence]:
        """The rule's matches in a trace of the candidate."""

    def accepts(self, occurrences: Sequence[Occurrence]) -> bool:
        """Whether what was found in several traces is a finding together."""
        return True
