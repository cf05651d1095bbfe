"""The occurrences of defined transactions worked out once more, in plain Python over the spans and
log records that were sent."""

from __future__ import annotations

import hashlib
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from clew.analysis.transactions.definitions import AttributeSource, Definition, Match
from support.traffic import CONSUMER, MINUTE, SERVER, Log, Span

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


@dataclass(frozen=True)
class Contribution:
    """What a trace contributes to an occurrence."""

    trace: str
    spans: Sequence[Span]
    attempts: Sequence[Span]
    root: Span
    user: str
    value: float | None
    steps: dict[int, Span]

    @property
    def start(self) -> int:
        return min(span.start for span in self.spans)


def occurrences(
    definition: Definition, spans: Iterable[Span], logs: Iterable[Log]
) -> dict[str, dict[str, Any]]:
    """The occurrences by key; the columns of clew_occurrences, times in nanoseconds."""
    traces: dict[str, list[Span]] = defaultdict(list)
    records: dict[str, list[Log]] = defaultdict(list)
    for span in spans:
        traces[span.trace].append(span)
    for log in logs:
        records[log.trace].append(log)
    by_key: dict[str, list[Contribution]] = defaultdict(list)
    for trace, its in traces.items():
        for key, contribution in _contributions(definition, its, records[trace]).items():
            by_key[key].append(contribution)
    return {
        key: _occurrence(contributions)
        for key, contributions in by_key.items()
        if any(each.attempts for each in contributions)
    }


def _contributions(
    definition: Definition, spans: list[Span], logs: list[Log]
) -> dict[str, Contribution]:
    start, end = min(span.start for span in spans), max(span.ended for span in spans)
    logs = [log for log in logs if start - 5 * MINUTE <= log.time <= end + 5 * MINUTE]
    spans = sorted(spans, key=lambda span: (span.start, span.id))
    logs = sorted(logs, key=lambda log: log.time)

    def key_of(item: Span | Log) -> str:
        return _cut(_taken(item, definition.key))

    on_spans = [(span.start, key_of(span)) for span in spans if key_of(span)]
    on_logs = [(log.time, key_of(log)) for log in logs if key_of(log)]
    trace = spans[0].trace
    fallback = next((key for _, key in (*on_spans, *on_logs)), trace)

    matched = [span for span in spans if _matches(definition.match, span)]
    entries = [span for span in matched if _rank(span) < 2] or matched
    keyed: dict[str, list[Span]] = defaultdict(list)
    for span in entries:
        keyed[key_of(span) or fallback].append(span)
    carried = [key for _, key in sorted((*on_spans, *on_logs), key=lambda each: each[0])]
    keys = list(keyed) if entries else list(dict.fromkeys(carried))[:100]

    steps: dict[int, Span] = {}
    services = {span.service for span in entries} or {
        definition.match.service or span.service for span in spans
    }
    for number, step in enumerate(definition.steps):
        for span in spans:
            bare = step.match is None and span.name == step.name and span.service in services
            if bare or (step.match is not None and _matches(step.match, span)):
                steps.setdefault(number, span)
    found = {}
    for key in keys:
        attempts = _attempts(keyed[key])
        asked: list[Span | Log] = [*reversed(attempts)]
        for items in (spans, logs):
            asked += [item for item in items if key_of(item) == key]
            asked += [item for item in items if not key_of(item)]
        users = (_taken(item, definition.user)[:256] for item in asked)
        values = (_number(item, definition.value) for item in asked)
        found[key] = Contribution(
            trace=trace,
            spans=spans,
            attempts=attempts,
            root=min(spans, key=lambda span: (_rank(span), span.start, span.id)),
            user=next((user for user in users if user), ""),
            value=next((value for value in values if value is not None), None),
            steps=steps,
        )
    return found


def _attempts(entries: list[Span]) -> list[Span]:
    """Those that begin when none before them runs any more."""
    attempts: list[Span] = []
    until = -math.inf
    for span in entries:
        if span.start >= until:
            attempts.append(span)
        until = max(until, span.ended, span.start + 1)
    return attempts


def _occurrence(contributions: list[Contribution]) -> dict[str, Any]:
    contributions = sorted(contributions, key=lambda each: (each.start, each.trace))
    attempts = sorted(
        ((span, each) for each in contributions for span in each.attempts),
        key=lambda pair: (pair[0].start, pair[0].trace, pair[0].id),
    )
    last, decisive = attempts[-1]
    steps: dict[int, Span] = {}
    apart: dict[int, tuple[tuple[int, str], bool]] = {}
    for each in contributions:
        for number, span in each.steps.items():
            before = steps.get(number)
            if before is None or (span.start, span.trace) < (before.start, before.trace):
                steps[number] = span
            if not each.attempts:
                latest = ((span.start, span.trace), each.root.is_error)
                apart[number] = max(apart.get(number, latest), latest)
    asked = sorted(contributions, key=lambda each: (each is not decisive, not each.attempts))
    spans = [span for each in contributions for span in each.spans]
    start, end = min(span.start for span in spans), max(span.ended for span in spans)
    return {
        "Timestamp": attempts[0][0].start,
        "Environment": decisive.attempts[0].process.environment,
        "TraceIds": [each.trace for each in contributions],
        "Start": start,
        "End": end,
        "Working": _union(spans),
        "EntryTraceId": last.trace,
        "EntrySpanId": last.id,
        "EntryService": last.service,
        "EntryOperation": last.name,
        "EntryDuration": last.duration,
        "Attempts": len(attempts),
        "IsError": last.is_error
        or (decisive.root.is_error and bool(decisive.steps))
        or any(error for _, error in apart.values()),
        "User": next((each.user for each in asked if each.user), ""),
        "Value": next((each.value for each in asked if each.value is not None), None),
        "Services": sorted({span.service for span in spans}),
        "SpanCount": len(spans),
        "ErrorCount": sum(span.is_error for span in spans),
        "Step.Number": sorted(steps),
        "Step.Service": [steps[number].service for number in sorted(steps)],
        "Step.Start": [steps[number].start for number in sorted(steps)],
        "Step.Duration": [steps[number].duration for number in sorted(steps)],
        "Step.IsError": [steps[number].is_error for number in sorted(steps)],
        "Step.TraceId": [steps[number].trace for number in sorted(steps)],
    }


def _matches(match: Match, span: Span) -> bool:
    attributes = _attributes(span)
    return (
        match.service in (None, span.service)
        and match.operation in (None, span.name)
        and all(attributes.get(name) == value for name, value in match.attr.items())
    )


def _rank(span: Span) -> int:
    return 0 if not span.parent else 1 if span.kind in (SERVER, CONSUMER) else 2


def _attributes(item: Span | Log) -> dict[str, str]:
    own = {name: str(value) for name, value in item.attributes.items() if value != ""}
    return {**item.process.resource, **own}


def _taken(item: Span | Log, sources: Sequence[AttributeSource]) -> str:
    for source in sources:
        text = _attributes(item).get(source.attr, "")
        if source.pattern is not None:
            before, _, after = source.pattern.partition("{}")
            match = re.search(f"{re.escape(before)}([^/?#]+){re.escape(after)}", text)
            text = match[1] if match else ""
        if text:
            return text
    return ""


def _number(item: Span | Log, sources: Sequence[AttributeSource]) -> float | None:
    for source in sources:
        text = _taken(item, [source])
        if NUMBER.fullmatch(text) and math.isfinite(float(text)):
            return float(text)
    return None


def _cut(key: str) -> str:
    """A long key is told by its beginning and a hash; which hash is clew's to choose."""
    if len(key.encode()) <= 256:
        return key
    return f"{key[:64]}~{hashlib.sha256(key.encode()).hexdigest()[:32]}"


def _union(spans: Iterable[Span]) -> int:
    total, until = 0, -math.inf
    for span in sorted(spans, key=lambda span: span.start):
        if span.ended > until:
            total += span.ended - max(span.start, until) if until > span.start else span.duration
            until = span.ended
    return int(total)
