"""A reference for the occurrences of defined transactions: computes them in plain Python from the
spans and log records that were sent."""

from __future__ import annotations

import hashlib
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from clew.analysis.transactions.definitions import Definition, Match
from clew.analysis.transactions.sources import AttributeSource
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
    """The occurrences by key: the columns of clew_occurrences, times in nanoseconds."""
    spans_by_trace: dict[str, list[Span]] = defaultdict(list)
    logs_by_trace: dict[str, list[Log]] = defaultdict(list)
    for span in spans:
        spans_by_trace[span.trace].append(span)
    for log in logs:
        logs_by_trace[log.trace].append(log)
    by_key: dict[str, list[Contribution]] = defaultdict(list)
    for trace, trace_spans in spans_by_trace.items():
        contributions = _contributions(definition, trace_spans, logs_by_trace[trace])
        for key, contribution in contributions.items():
            by_key[key].append(contribution)
    return {
        key: _occurrence(contributions)
        for key, contributions in by_key.items()
        if any(contribution.attempts for contribution in contributions)
    }


def _contributions(
    definition: Definition, spans: list[Span], logs: list[Log]
) -> dict[str, Contribution]:
    start, end = min(span.start for span in spans), max(span.ended for span in spans)
    logs = [log for log in logs if start - 5 * MINUTE <= log.time <= end + 5 * MINUTE]
    spans = sorted(spans, key=lambda span: (span.start, span.id))
    logs = sorted(logs, key=lambda log: log.time)

    def key_of(item: Span | Log) -> str:
        return _shorten(_extract(item, definition.key_attributes))

    on_spans = [(span.start, key_of(span)) for span in spans if key_of(span)]
    on_logs = [(log.time, key_of(log)) for log in logs if key_of(log)]
    trace = spans[0].trace
    fallback = next((key for _, key in (*on_spans, *on_logs)), trace)

    matched = [span for span in spans if _matches(definition.match, span)]
    entries = [span for span in matched if _rank(span) < 2] or matched
    entries_by_key: dict[str, list[Span]] = defaultdict(list)
    for span in entries:
        entries_by_key[key_of(span) or fallback].append(span)
    by_time = [key for _, key in sorted((*on_spans, *on_logs), key=lambda pair: pair[0])]
    keys = list(entries_by_key) if entries else list(dict.fromkeys(by_time))[:100]

    steps: dict[int, Span] = {}
    services = {span.service for span in entries} or {
        definition.match.service or span.service for span in spans
    }
    for number, step in enumerate(definition.steps):
        for span in spans:
            bare = step.match is None and span.name == step.name and span.service in services
            if bare or (step.match is not None and _matches(step.match, span)):
                steps.setdefault(number, span)
    contributions = {}
    for key in keys:
        attempts = _attempts(entries_by_key[key])
        candidates: list[Span | Log] = [*reversed(attempts)]
        for items in (spans, logs):
            candidates += [item for item in items if key_of(item) == key]
            candidates += [item for item in items if not key_of(item)]
        users = (_extract(item, definition.user_attributes)[:256] for item in candidates)
        values = (_number(item, definition.value_attributes) for item in candidates)
        contributions[key] = Contribution(
            trace=trace,
            spans=spans,
            attempts=attempts,
            root=min(spans, key=lambda span: (_rank(span), span.start, span.id)),
            user=next((user for user in users if user), ""),
            value=next((value for value in values if value is not None), None),
            steps=steps,
        )
    return contributions


def _attempts(entries: list[Span]) -> list[Span]:
    """The entries that start when no earlier entry is running."""
    attempts: list[Span] = []
    until = -math.inf
    for span in entries:
        if span.start >= until:
            attempts.append(span)
        until = max(until, span.ended, span.start + 1)
    return attempts


def _occurrence(contributions: list[Contribution]) -> dict[str, Any]:
    contributions = sorted(contributions, key=lambda part: (part.start, part.trace))
    attempts = sorted(
        ((span, part) for part in contributions for span in part.attempts),
        key=lambda pair: (pair[0].start, pair[0].trace, pair[0].id),
    )
    last, decisive = attempts[-1]
    steps: dict[int, Span] = {}
    # By step, the time and the outcome of the last trace that has the step and no attempt.
    step_traces: dict[int, tuple[tuple[int, str], bool]] = {}
    for part in contributions:
        for number, span in part.steps.items():
            first = steps.get(number)
            if first is None or (span.start, span.trace) < (first.start, first.trace):
                steps[number] = span
            if not part.attempts:
                latest = ((span.start, span.trace), part.root.is_error)
                step_traces[number] = max(step_traces.get(number, latest), latest)
    by_priority = sorted(contributions, key=lambda part: (part is not decisive, not part.attempts))
    spans = [span for part in contributions for span in part.spans]
    start, end = min(span.start for span in spans), max(span.ended for span in spans)
    return {
        "Timestamp": attempts[0][0].start,
        "Environment": decisive.attempts[0].process.environment,
        "TraceIds": [part.trace for part in contributions],
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
        or any(is_error for _, is_error in step_traces.values()),
        "User": next((part.user for part in by_priority if part.user), ""),
        "Value": next((part.value for part in by_priority if part.value is not None), None),
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


def _extract(item: Span | Log, sources: Sequence[AttributeSource]) -> str:
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
        text = _extract(item, [source])
        if NUMBER.fullmatch(text) and math.isfinite(float(text)):
            return float(text)
    return None


def _shorten(key: str) -> str:
    """A long key becomes its first characters and a hash, which need not be clew's hash."""
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
