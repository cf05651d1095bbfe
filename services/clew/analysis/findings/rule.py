"""What a rule of findings is.

A rule chooses candidates from what settled traces say of a stretch of time (`Traffic`), and
confirms them on the spans of at most 30 traces each. It knows neither clock nor tables. A rule that
needs more asks with a query of its own (`Traffic.rows`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Protocol

from clew.analysis import queries
from clew.analysis.findings.trees import TraceTree
from clew.analysis.resources.constraints import METRICS
from clew.analysis.resources.points import Points, ResourcePoint
from clew.analysis.traces.times import HOUR, datetime64_text
from clew.storage.sql import Query, RowT

MAX_ROWS = 20_000  # of a query of a rule's own
Entry = tuple[str, str, str]  # environment, service and operation by which traces came in
Numbers = Mapping[str, float | str]


class Source(Protocol):
    """Where rows come from: clew.storage.statements.Statements."""

    def rows(self, query: Query[RowT], **parameters: Any) -> list[RowT]:
        """The rows of a query. Raises StorageError."""


class NoRows:
    """A source without rows."""

    def rows(self, query: Query[RowT], **parameters: Any) -> list[RowT]:
        return []


NO_ROWS = NoRows()


@dataclass(frozen=True)
class Traffic:
    """The settled traces of a stretch of time. `seconds`: its length; `records`: log records a
    second by service; `until`: its end, in seconds since 1970."""

    entries: Mapping[Entry, queries.FindingEntriesRow]
    operations: Sequence[queries.FindingOperationsRow]
    calls: Sequence[queries.FindingCallsRow]
    seconds: float
    records: Mapping[str, float]
    until: float = 0.0
    source: Source = NO_ROWS

    def rows(self, query: Query[RowT], seconds: float = HOUR, **parameters: Any) -> list[RowT]:
        """The rows of a rule's own query, of so many seconds before the end. Raises
        StorageError."""
        since = datetime64_text(max(0.0, self.until - seconds))
        stretch = {"since": since, "until": datetime64_text(self.until), "limit": MAX_ROWS}
        return self.source.rows(query, **stretch | parameters)

    @cached_property
    def points(self) -> Mapping[str, Points]:
        """By service, how full the resources of its processes and containers were in the last hour,
        in slots of five minutes. Raises StorageError."""
        by_service: dict[str, list[ResourcePoint]] = {}
        for row in self.rows(queries.FINDING_POINTS, metrics=METRICS):
            point = ResourcePoint(
                row["metric"], row["source"], row["runtime"], row["attributes"], row["at"],
                row["value"],
            )  # fmt: skip
            by_service.setdefault(row["service"], []).append(point)
        return {service: Points(points) for service, points in by_service.items()}

    def of_service(self, service: str, numbers: Numbers) -> Iterator[Candidate]:
        """What may be wrong with a service as a whole; nothing where it has no traces."""
        if row := self.busiest(service):
            yield Candidate(
                entry_key(row), row["traces"], row["newest"], row["self"], service,
                row["operation"], numbers,
            )  # fmt: skip

    def busiest(self, service: str) -> queries.FindingOperationsRow | None:
        """What a service serves most often, of a transaction: where one looks at the service."""
        return self._busiest.get(service)

    @cached_property
    def _busiest(self) -> Mapping[str, queries.FindingOperationsRow]:
        def weight(row: queries.FindingOperationsRow) -> tuple[bool, int, str]:
            return row["kind"] in ENTRY_KINDS, row["traces"], row["operation"]

        busiest: dict[str, queries.FindingOperationsRow] = {}
        for row in self.operations:
            first = busiest.get(row["service"])
            if first is None or weight(row) > weight(first):
                busiest[row["service"]] = row
        return busiest

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
ENTRY_KINDS = (*SERVER_KINDS, "Consumer", "SPAN_KIND_CONSUMER")


def entry_key(row: queries.FindingOperationsRow | queries.FindingCallsRow) -> Entry:
    """The entry of the traces that a row counts."""
    return row["environment"], row["entry_service"], row["entry_operation"]


@dataclass(frozen=True)
class Candidate:
    """What may be a finding: traces of one entry, `affected` of them in the whole stretch, of which
    `traces` are the newest, each (id, start in nanoseconds). `weight`: what it may cost, to order
    candidates; `service` and `target`: where the rule looks; `usual`: what it compares with, if it
    sees changes."""

    entry: Entry
    affected: float
    traces: Sequence[tuple[str, int]]
    weight: float
    service: str = ""
    target: str = ""
    numbers: Numbers = field(default_factory=dict)
    usual: float | None = None


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


class Change(Protocol):
    """What a rule that sees changes found earlier: a finding."""

    @property
    def environment(self) -> str: ...
    @property
    def service(self) -> str: ...
    @property
    def operation(self) -> str: ...
    @property
    def target(self) -> str:
        """Of its candidate."""
        ...

    @property
    def usual(self) -> float | None:
        """What was usual before; None if nobody knows: it was found by an older version."""
        ...


def service_occurrence(candidate: Candidate, tree: TraceTree, subject: str) -> Iterator[Occurrence]:
    """That a trace meets a service with which something is wrong as a whole."""
    if any(span.service == candidate.service for span in tree.spans):
        yield Occurrence(candidate.service, "", subject, 0.0, candidate.numbers)


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
    # Whether it compares with before: what stays as it is, is no candidate any more, and `persists`
    # says whether it still is as it was when it was found.
    sees_changes: ClassVar[bool] = False

    @abstractmethod
    def candidates(self, traffic: Traffic) -> Iterable[Candidate]:
        """What may be a finding of this rule."""

    @abstractmethod
    def examine(self, candidate: Candidate, tree: TraceTree) -> Iterator[Occurrence]:
        """The rule's matches in a trace of the candidate."""

    def accepts(self, occurrences: Sequence[Occurrence]) -> bool:
        """Whether what was found in several traces is a finding together."""
        return True

    def persists(self, change: Change, traffic: Traffic) -> bool:
        """Whether what was found is still so, or cannot be judged: of a rule that sees changes."""
        return False
