"""What the matches of a rule cost, and whether they are worth opening a finding."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from clew.analysis.findings.rule import Candidate, Numbers, Occurrence, Rule, Traffic
from clew.analysis.findings.trees import TraceTree

MIN_TRACES = 3
MIN_SHARE = 0.01  # of the entry's traces
MIN_SAVED_NS = 10e6
MIN_SAVED_SHARE = 0.05  # of the entry's p50: what is fast and could be faster by so much
DAY = 86_400
EXAMPLES = 5  # traces of a finding that are named


@dataclass(frozen=True)
class TransactionCost:
    """What a finding costs one transaction. `id`: of the automatic transaction. `saved_ms`: mean of
    the traces that have it; `per_day_s`: seconds a day at the rate of the stretch of time;
    `p95_share`: of the p95 of those traces; `share`: of the transaction's traces that have it;
    `value_per_day`: what those are worth a day, None without a definition that has a value;
    `defined`: the ids of the definitions that match."""

    id: str
    name: str
    environment: str
    saved_ms: float
    per_day_s: float
    p95_share: float
    share: float
    value_per_day: float | None = None
    defined: tuple[str, ...] = ()


@dataclass(frozen=True)
class Finding:
    """A finding; `transactions` are in the order of their cost. `since`, `until`: between which
    times its examples lie; `newest`: when the third-newest trace that has it began. All times are
    seconds since 1970. `target`, `usual`: of a rule that sees changes, where it looked and what it
    compared with."""

    id: str
    rule: str
    environment: str
    service: str
    operation: str
    subject: str
    place: str
    advice: str
    transactions: tuple[TransactionCost, ...]
    traces: tuple[str, ...]
    since: float
    until: float
    newest: float
    target: str = ""
    usual: float | None = None

    @property
    def document(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def per_day_s(self) -> float:
        return sum(cost.per_day_s for cost in self.transactions)


def finding_id(rule: str, environment: str, service: str, operation: str, subject: str) -> str:
    """Sixteen digits: the same for the same finding, everywhere and for good."""
    text = "\0".join((rule, environment, service, operation, subject))
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]


@dataclass(frozen=True)
class _Match:
    """The occurrences of one subject in the traces of a candidate."""

    occurrences: Sequence[Occurrence]
    trees: Sequence[TraceTree]  # the traces that have them, each once
    saved_ns: Sequence[float]  # of each of these


def findings_of(
    rule: Rule, candidate: Candidate, trees: Sequence[TraceTree], traffic: Traffic
) -> Iterator[Finding]:
    """The findings of a rule in the traces of a candidate that are worth opening."""
    entry = traffic.entries.get(candidate.entry)
    if entry is None or not trees:
        return
    for (service, operation, subject), match in _matches(rule, candidate, trees).items():
        share_of_examined = len(match.trees) / len(trees)
        affected = min(candidate.affected * share_of_examined, float(entry["traces"]))
        saved_ns = sum(match.saved_ns) / len(match.saved_ns)
        is_worth_it = saved_ns >= min(MIN_SAVED_NS, MIN_SAVED_SHARE * entry["quantiles"][0])
        if (
            len(match.trees) < MIN_TRACES
            or affected < max(MIN_TRACES, MIN_SHARE * entry["traces"])
            or share_of_examined <= rule.least_share
            or (rule.saves_time and not (saved_ns > 0 and is_worth_it))
            or not rule.accepts(match.occurrences)
        ):
            continue
        environment = candidate.entry[0]
        starts = sorted(tree.entry.start for tree in match.trees)
        ends = max(max(tree.columns.ends) for tree in match.trees)
        numbers = _mean(match.occurrences)
        yield Finding(
            finding_id(rule.name, environment, service, operation, subject),
            rule.name,
            environment,
            service,
            operation,
            subject,
            next((one.place for one in match.occurrences if one.place), ""),
            rule.advice.format(operation=operation, subject=subject, **_shown(numbers)),
            (
                TransactionCost(
                    entry["id"],
                    f"{entry['service']}: {entry['operation']}",
                    environment,
                    saved_ns / 1e6,
                    saved_ns / 1e9 * affected / traffic.seconds * DAY,
                    _p95_share(match),
                    affected / entry["traces"],
                ),
            ),
            tuple(tree.trace_id for tree in match.trees[:EXAMPLES]),
            starts[0] / 1e9,
            ends / 1e9,
            starts[-MIN_TRACES] / 1e9,
            candidate.target,
            candidate.usual,
        )


def merged(findings: Iterable[Finding]) -> list[Finding]:
    """One finding for each id, with the transactions of all, the most expensive first."""
    by_id: dict[str, Finding] = {}
    for finding in findings:
        first = by_id.get(finding.id)
        if first is None:
            by_id[finding.id] = finding
            continue
        costs = {cost.id: cost for cost in (*finding.transactions, *first.transactions)}
        by_id[finding.id] = replace(
            first,
            transactions=tuple(sorted(costs.values(), key=lambda cost: (-cost.per_day_s, cost.id))),
            since=min(first.since, finding.since),
            until=max(first.until, finding.until),
            newest=max(first.newest, finding.newest),
            place=first.place or finding.place,
        )
    return sorted(by_id.values(), key=lambda finding: (-finding.per_day_s, finding.id))


def _matches(
    rule: Rule, candidate: Candidate, trees: Sequence[TraceTree]
) -> Mapping[tuple[str, str, str], _Match]:
    groups: dict[tuple[str, str, str], dict[str, list[Occurrence]]] = {}
    for tree in trees:
        for one in rule.examine(candidate, tree):
            key = (one.service, one.operation, one.subject)
            groups.setdefault(key, {}).setdefault(tree.trace_id, []).append(one)
    by_id = {tree.trace_id: tree for tree in trees}
    return {
        key: _Match(
            [one for ones in traces.values() for one in ones],
            [by_id[trace_id] for trace_id in traces],
            [sum(one.saved_ns for one in ones) for ones in traces.values()],
        )
        for key, traces in groups.items()
    }


def _p95_share(match: _Match) -> float:
    """How much less the p95 of the traces' entries would be without what is saved."""
    durations = [float(tree.entry.duration) for tree in match.trees]
    less = [
        max(0.0, duration - saved)
        for duration, saved in zip(durations, match.saved_ns, strict=True)
    ]
    before = _p95(durations)
    return max(0.0, 1 - _p95(less) / before) if before > 0 else 0.0


def _p95(values: Sequence[float]) -> float:
    return sorted(values)[round(0.95 * (len(values) - 1))]


def _mean(occurrences: Sequence[Occurrence]) -> Numbers:
    """The mean of each number; of texts the first."""
    means: dict[str, float | str] = {}
    names = {name: value for one in reversed(occurrences) for name, value in one.numbers.items()}
    for name, first in names.items():
        if isinstance(first, str):
            means[name] = first
            continue
        values = [float(one.numbers[name]) for one in occurrences if name in one.numbers]
        means[name] = sum(values) / len(values)
    return means


def _shown(numbers: Numbers) -> dict[str, str]:
    return {
        name: value if isinstance(value, str) else _number(value) for name, value in numbers.items()
    }


def _number(value: float) -> str:
    """Three digits at most, and no more than one after the point."""
    return f"{value:.0f}" if value >= 10 or value == int(value) else f"{value:.1f}"
