"""What traces contribute to the occurrences of definitions, computed in Python for few traces.

queries/occurrences/occurrence_traces.sql computes the same for many, and its comments
say what the parts mean. Times are nanoseconds since 1970.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from clew.analysis.queries import OccurrencePartsRow, OccurrenceRecordsRow
from clew.analysis.transactions.definitions import Definition, Match
from clew.analysis.transactions.sources import AttributeSource

LOG_MARGIN_NS = 300 * 10**9  # a log record belongs to its trace up to so long before and after it
MAX_KEY = 256  # bytes; the statements replace a longer key with a hash
MAX_USER = 256  # characters
MAX_KEYS, MAX_CARRIED_KEYS = 1000, 100  # of a trace with an entry, and of one without

ENTRY, SPAN, RECORD = 1, 2, 3  # kinds of an element, see Element
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_SEGMENT_END = re.compile("[/?#]")

Key = tuple[str, str]  # of an occurrence: the definition's id, and the key


class LongKey(Exception):
    """A key has more than MAX_KEY bytes."""


class Entry(NamedTuple):
    """An attempt, as an element of the columns Entry.*."""

    start: int
    span_id: str
    service: str
    operation: str
    duration: int
    is_error: bool


class StepSpan(NamedTuple):
    """The first span of a step, as an element of the columns Step.*."""

    number: int
    start: int
    service: str
    duration: int
    is_error: bool


class Contribution(NamedTuple):
    """A row of clew_occurrence_traces. `busy`: the times in which spans run, (start, end)."""

    transaction: str
    key: str
    trace_id: str
    start: int
    end: int
    environment: str = ""
    entries: Sequence[Entry] = ()
    root_is_error: bool = False
    span_count: int = 0
    error_count: int = 0
    services: Sequence[str] = ()
    busy: Sequence[tuple[int, int]] = ()
    user: str = ""
    value: float | None = None
    steps: Sequence[StepSpan] = ()
    is_deleted: bool = False

    @property
    def occurrence(self) -> Key:
        return self.transaction, self.key

    @property
    def place(self) -> tuple[str, str, str]:
        """The row's key."""
        return self.transaction, self.key, self.trace_id


def stored_contribution(row: OccurrencePartsRow) -> Contribution:
    """The contribution that a row holds."""
    return Contribution(
        *(row["transaction"], row["key"], row["trace_id"], row["start"], row["end"]),
        environment=row["environment"],
        entries=[Entry(*entry) for entry in row["entries"]],
        root_is_error=row["root_is_error"],
        span_count=row["span_count"],
        error_count=row["error_count"],
        services=row["services"],
        busy=row["busy"],
        user=row["user"],
        value=row["value"],
        steps=[StepSpan(*step) for step in row["steps"]],
        is_deleted=bool(row["is_deleted"]),
    )


class Element(NamedTuple):
    """A span or log record under a definition. Kinds: ENTRY is a span that matches the definition;
    SPAN and RECORD are a span and a log record that carry a key, a value or a user."""

    key: str
    kind: int
    row: OccurrenceRecordsRow
    value: float | None
    user: str

    @property
    def place(self) -> tuple[int, str]:
        return self.row["start"], self.row["span_id"]

    @property
    def rest(self) -> tuple[bool, float, str]:
        return self.value is None, self.value or 0.0, self.user


def contributions(
    definitions: Sequence[Definition], rows: Iterable[OccurrenceRecordsRow]
) -> Iterator[Contribution]:
    """What the traces with these spans and log records contribute; of keys to which a trace does
    not contribute although its rows carry them, and of the trace's id, a deleted contribution.
    Raises LongKey."""
    traces: dict[str, list[tuple[OccurrenceRecordsRow, Mapping[str, str]]]] = defaultdict(list)
    for row in rows:
        # The first of several attributes with one name counts.
        traces[row["trace_id"]].append((row, dict(reversed(row["attributes"]))))
    rules = [_Rules(definition) for definition in definitions]
    for _, records in sorted(traces.items()):
        spans = [row for row, _ in records if row["is_span"]]
        if spans:
            trace = _Trace(spans)
            for rule in rules:
                yield from _Application(rule, trace, records).contributions()


class _Rules:
    """What a definition asks for."""

    def __init__(self, definition: Definition) -> None:
        self.id = definition.id
        self.match = definition.match
        self.key = definition.key_attributes
        self.value = definition.value_attributes
        self.user = definition.user_attributes
        # By number: whether a step asks for the entries' service, and for which spans.
        self.steps = [
            (step.match is None, step.match or Match(operation=step.name))
            for step in definition.steps
        ]


class _Trace:
    """What all definitions need of a trace."""

    def __init__(self, spans: Sequence[OccurrenceRecordsRow]) -> None:
        self.id = spans[0]["trace_id"]
        self.start = min(span["start"] for span in spans)
        self.end = max(span["end"] for span in spans)
        self.root = min(spans, key=lambda span: (span["rank"], span["start"], span["span_id"]))
        self.span_count = len(spans)
        self.error_count = sum(span["is_error"] for span in spans)
        self.services = sorted({span["service"] for span in spans})
        self.busy = merge_intervals((span["start"], span["end"]) for span in spans)


class _Application:
    """A definition, applied to a trace."""

    def __init__(
        self,
        rules: _Rules,
        trace: _Trace,
        records: Sequence[tuple[OccurrenceRecordsRow, Mapping[str, str]]],
    ) -> None:
        self._rules = rules
        self._trace = trace
        self._matches: list[Element] = []
        self._carriers: list[Element] = []
        self._steps: list[tuple[bool, StepSpan, str]] = []
        self._is_candidate = False
        for row, attributes in records:
            self._add(row, attributes)

    def _add(self, row: OccurrenceRecordsRow, attributes: Mapping[str, str]) -> None:
        rules = self._rules
        key = extract(rules.key, attributes)
        if len(key) > MAX_KEY or len(key.encode()) > MAX_KEY:
            raise LongKey
        user = extract(rules.user, attributes)[:MAX_USER]
        value = first_number(rules.value, attributes)
        if row["is_span"]:
            if _matches(rules.match, row, attributes):
                self._matches.append(Element(key, ENTRY, row, value, user))
            for number, (in_entry_service, match) in enumerate(rules.steps):
                if _matches(match, row, attributes):
                    step = StepSpan(
                        number, row["start"], row["service"], row["duration"], row["is_error"]
                    )
                    self._steps.append((in_entry_service, step, row["span_id"]))
        self._is_candidate = self._is_candidate or bool(key or self._matches)
        kind = SPAN if row["is_span"] else RECORD
        near = self._trace.start - LOG_MARGIN_NS, self._trace.end + LOG_MARGIN_NS
        if (key or user or value is not None) and (
            kind == SPAN or near[0] <= row["start"] <= near[1]
        ):
            self._carriers.append(Element(key, kind, row, value, user))

    def contributions(self) -> Iterator[Contribution]:
        """See `contributions`."""
        if not self._is_candidate:
            return
        entries = [element for element in self._matches if element.row["rank"] < 2]
        entries = entries or self._matches
        groups = self._groups(entries)
        holding = [
            (key, elements) for key, elements in groups if not entries or elements[0].kind == ENTRY
        ]
        limit = MAX_KEYS if entries else MAX_CARRIED_KEYS
        keyless = sorted(
            (element for element in self._carriers if not element.key),
            key=lambda element: (element.place, element.rest),
        )
        steps = self._first_steps({entry.row["service"] for entry in entries})
        for key, elements in holding[:limit]:
            yield self._contribution(key, elements, keyless, steps)
        held = {key for key, _ in holding[:limit]}
        others = {key for key, _ in groups}
        if self._rules.key:  # without a key it contributed to its id
            others.add(self._trace.id)
        for key in sorted(others - held):
            yield Contribution(
                *(self._rules.id, key, self._trace.id, self._trace.start, self._trace.end),
                is_deleted=True,
            )

    def _groups(self, entries: Sequence[Element]) -> list[tuple[str, list[Element]]]:
        """The elements with a key, by key, in the order in which the keys first occur."""
        keyed = [element for element in self._carriers if element.key]
        first = min(keyed, key=lambda item: (item.kind, item.place, item.key), default=None)
        fallback = first.key if first else self._trace.id
        keyed += [entry if entry.key else entry._replace(key=fallback) for entry in entries]
        keyed.sort(key=lambda element: (element.key, element.kind, element.place, element.rest))
        groups: dict[str, list[Element]] = {}
        for element in keyed:
            groups.setdefault(element.key, []).append(element)
        return sorted(
            groups.items(),
            key=lambda group: (min(element.row["start"] for element in group[1]), group[0]),
        )

    def _first_steps(self, entry_services: Collection[str]) -> list[StepSpan]:
        service = self._rules.match.service
        services = entry_services or ({service} if service else set())
        steps: dict[int, StepSpan] = {}
        for in_entry_service, step, _ in sorted(
            self._steps, key=lambda step: (step[1].number, step[1].start, step[2])
        ):
            if not in_entry_service or not services or step.service in services:
                steps.setdefault(step.number, step)
        return list(steps.values())

    def _contribution(
        self,
        key: str,
        elements: Sequence[Element],
        keyless: Sequence[Element],
        steps: Sequence[StepSpan],
    ) -> Contribution:
        trace = self._trace
        attempts = _attempts([element for element in elements if element.kind == ENTRY])
        # The last attempt says it; else a span with the key, a span without one, and log records.
        describing = [*reversed(attempts)]
        for kind in (SPAN, RECORD):
            describing += [element for element in elements if element.kind == kind]
            describing += [element for element in keyless if element.kind == kind]
        values = (element.value for element in describing if element.value is not None)
        place = attempts[0].row if attempts else trace.root
        return Contribution(
            *(self._rules.id, key, trace.id, trace.start, trace.end),
            environment=place["environment"],
            entries=[_entry(attempt.row) for attempt in attempts],
            root_is_error=trace.root["is_error"],
            span_count=trace.span_count,
            error_count=trace.error_count,
            services=trace.services,
            busy=trace.busy,
            user=next((element.user for element in describing if element.user), ""),
            value=next(values, None),
            steps=steps,
        )


def _attempts(entries: Sequence[Element]) -> list[Element]:
    """The entries that begin while none before them runs. `entries`: by start."""
    attempts: list[Element] = []
    until: float = -math.inf
    for entry in entries:
        start, end = entry.row["start"], entry.row["end"]
        if start >= until:
            attempts.append(entry)
        until = max(until, end, start + 1)
    return attempts


def _entry(row: OccurrenceRecordsRow) -> Entry:
    return Entry(
        row["start"],
        row["span_id"],
        row["service"],
        row["operation"],
        row["duration"],
        row["is_error"],
    )


def merge_intervals(intervals: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The union of intervals, disjoint and in order. Adjacent ones become one."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(intervals):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(merged[-1][1], end)
        else:
            merged.append((start, end))
    return merged


def _matches(match: Match, row: OccurrenceRecordsRow, attributes: Mapping[str, str]) -> bool:
    return (
        (not match.service or match.service == row["service"])
        and (not match.operation or match.operation == row["operation"])
        and all(attributes.get(name, "") == value for name, value in match.attr.items())
    )


def extract(sources: Iterable[AttributeSource], attributes: Mapping[str, str]) -> str:
    """What the first of the sources finds in the attributes; '' if none does. The SQL function
    clew_taken."""
    for source in sources:
        text = attributes.get(source.attr, "")
        if text and source.pattern is not None:
            before, _, after = source.pattern.partition("{}")
            text = _segment_between(text, before, after)
        if text:
            return text
    return ""


def _segment_between(text: str, before: str, after: str) -> str:
    """The first text without / ? and # that stands between two others, as long as possible. In time
    that grows with the text, where a regular expression's may grow with its square."""
    place = text.find(before)
    while place >= 0:
        start = place + len(before)
        stop = _SEGMENT_END.search(text, start)
        end = stop.start() if stop else len(text)
        last = text.rfind(after, start + 1, end + len(after))
        if last >= 0:
            return text[start:last]
        # Within the segment, no later start finds it either.
        place = text.find(before, max(place + 1, end + 1 - len(before)))
    return ""


def first_number(sources: Iterable[AttributeSource], attributes: Mapping[str, str]) -> float | None:
    """The first finite number that a source finds in the attributes. The SQL function
    toFloat64OrNull."""
    for source in sources:
        text = extract([source], attributes)
        if _NUMBER.fullmatch(text) and math.isfinite(number := float(text)):
            return number
    return None
