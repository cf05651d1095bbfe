"""The step over settled traces that runs all rules of findings; it knows none by name.

It looks at the newest hour, or further back where few traces came, up to a day. What a run costs
decides when the next one is: at most MAX_LOAD of a core, and more only where many spans come.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby, pairwise

from clew.analysis import queries
from clew.analysis.findings.cost import Finding, TransactionCost, findings_of, merged
from clew.analysis.findings.failures import RuleFailures
from clew.analysis.findings.records import FindingRecords, FindingState, StoredFinding
from clew.analysis.findings.rule import Candidate, Rule, Traffic
from clew.analysis.findings.rules import all_rules
from clew.analysis.findings.trees import NAMES, TraceTree
from clew.analysis.steps import Interval
from clew.analysis.traces.times import HOUR, datetime64_text
from clew.background import Stop
from clew.storage.statements import Statements

DAY = 24 * HOUR
ENOUGH_SPANS = 250_000  # how far a run looks back, beyond the newest hour
MANY_TIMES = 4  # ENOUGH_SPANS: so many will be there in the next hour too
SAMPLED_SPANS = 500_000  # of a run: of more, those of some half minutes are read
MAX_ROWS = 20_000  # entries, operations, calls
MAX_CANDIDATES = 12  # of a rule, in a run
MAX_SPANS = 60_000  # of a statement
TRACE_SECONDS = 600.0  # that a trace may last beyond the start of its entry
REPETITIONS = 5  # of an operation under one parent, for its traces to be looked at
SLOW_NS = 100_000_000  # of a call, for its trace to be looked at as a slow one
RESOLVED_AFTER = DAY  # without being seen, while its transactions had traces
MIN_TRAFFIC = 100  # traces of a transaction, without which nothing is resolved
FIRST_RUNS = 3  # of a process, without a longer pause: what is new is soon there to see
# Shares of a core, less a margin: 2 s an hour; from MANY_SPANS a second on 0.2 s for a million.
MAX_LOAD, LOAD_PER_SPAN, MANY_SPANS = 1.6 / HOUR, 0.16e-6, 5e6 / HOUR
MIN_PAUSE, MAX_PAUSE = 60.0, 3600.0
GROUPS = 3  # of traces, for the statements that read their spans
MARGIN_NS = 10**9  # of clocks, around a trace
COMPARED = 1 / 3  # of the time that was looked at: its begin and its end, for what has changed


class Findings:
    """See Step. A run replaces the rows of the findings that it sees. A rule that fails does not
    fail the run: RuleFailures."""

    name = "findings"
    on_demand = False

    def __init__(self, statements: Statements, rules: Sequence[Rule] | None = None) -> None:
        self._statements = statements
        self._records = FindingRecords(statements)
        self._rules = all_rules() if rules is None else rules
        self._failures = RuleFailures(statements)
        self._runs = 0
        self._spans = 0  # that the last run looked at
        self.every = MIN_PAUSE

    def run(self, settled: Interval, stop: Stop) -> None:
        """See Step. The time that counts is that of the traces."""
        began = time.monotonic(), time.process_time()
        hours = self.hours(settled.until)
        if not hours:  # nothing came for a day
            (row,) = self._statements.rows(
                queries.FINDING_NEWEST, until=datetime64_text(settled.until)
            )
            hours = self.hours(row["newest"] / 1e9 + 1)
        if not hours:
            self._spans = 0
            return
        until = max(row["newest"] for row in hours) / 1e9 + 1
        since, spans = _window(hours, until)
        since = max(since, min(row["oldest"] for row in hours) / 1e9)
        self._spans = spans
        traffic = self._traffic(since, until, spans)
        if not traffic.entries:
            return
        self._failures.begin()
        findings = merged(self._examine(traffic, stop))
        stop.check()
        self._failures.save(settled.version)
        self._store(self._with_values(findings, since, until), traffic, until, settled.version)
        self._runs += 1
        if self._runs >= FIRST_RUNS:
            # A statement runs on one thread, so that both are at least the CPU time of the run.
            seconds = min(time.monotonic() - began[0], time.process_time() - began[1])
            rate = spans / traffic.seconds
            load = LOAD_PER_SPAN * rate if rate >= MANY_SPANS else MAX_LOAD
            self.every = min(MAX_PAUSE, max(MIN_PAUSE, seconds / load))

    def hours(self, until: float) -> Sequence[queries.FindingWindowRow]:
        """The hours of a day, the newest first; where the last run had enough in one, only two."""
        reach = 2 * HOUR if self._spans > MANY_TIMES * ENOUGH_SPANS else DAY
        return self._statements.rows(
            queries.FINDING_WINDOW,
            since=datetime64_text(max(0.0, until - reach)),
            until=datetime64_text(max(0.0, until)),
        )

    def _traffic(self, since: float, until: float, spans: int) -> Traffic:
        stretch = {"since": datetime64_text(since), "until": datetime64_text(until)}
        stretch |= {"limit": MAX_ROWS}  # type: ignore[dict-item]
        one_in = max(1, spans // SAMPLED_SPANS)
        compared = COMPARED * (until - since)
        stretch |= {
            "early_until": datetime64_text(since + compared),
            "late_since": datetime64_text(until - compared),
            "one_in": one_in,  # type: ignore[dict-item]
        }
        rows = self._statements.rows(queries.FINDING_ENTRIES, **stretch)
        entries = {(row["environment"], row["service"], row["operation"]): row for row in rows}
        first = min((row["first"] for row in rows), default=0) / 1e9
        return Traffic(
            entries,
            self._statements.rows(queries.FINDING_OPERATIONS, **stretch, repetitions=REPETITIONS),
            self._statements.rows(queries.FINDING_CALLS, **stretch, slow=SLOW_NS),
            max(until - max(since, first), 1.0),
            self._records_per_second(max(since, first, until - HOUR), until),
            until,
            self._statements,
        )

    def _records_per_second(self, since: float, until: float) -> Mapping[str, float]:
        rows = self._statements.rows(
            queries.FINDING_RECORDS,
            since=datetime64_text(since),
            until=datetime64_text(until),
            limit=MAX_ROWS,
        )
        seconds = max(until - since, 1.0)
        return {row["service"]: row["records"] / seconds for row in rows}

    def _examine(self, traffic: Traffic, stop: Stop) -> Iterator[Finding]:
        """The findings of all rules, confirmed on the spans of their candidates' traces."""
        chosen: list[tuple[Rule, Candidate]] = []
        for rule in self._rules:
            stop.check()
            with self._failures.guard(rule.name):
                candidates = self._choose(list(rule.candidates(traffic)))
                chosen += [(rule, candidate) for candidate in candidates]
        trees = self._trees(chosen, stop)
        for rule, candidate in chosen:
            stop.check()
            if rule.name in self._failures.failed:
                continue
            findings: list[Finding] = []
            with self._failures.guard(rule.name):
                available = [trees[trace] for trace, _ in candidate.traces if trace in trees]
                findings = list(findings_of(rule, candidate, available, traffic))
            yield from findings

    def _trees(
        self, chosen: Sequence[tuple[Rule, Candidate]], stop: Stop
    ) -> Mapping[str, TraceTree]:
        starts = {trace: start for _, candidate in chosen for trace, start in candidate.traces}
        trees: dict[str, TraceTree] = {}
        for group in time_groups(starts):
            stop.check()
            rows = self._statements.rows(
                queries.FINDING_SPANS,
                trace_ids=group,
                since=datetime64_text((min(starts[id] for id in group) - MARGIN_NS) / 1e9),
                until=datetime64_text(max(starts[id] for id in group) / 1e9 + TRACE_SECONDS),
                names=list(NAMES),
                limit=MAX_SPANS,
            )
            for trace_id, spans in groupby(rows, key=lambda row: row["trace_id"]):
                trees[trace_id] = TraceTree(trace_id, spans)
        return trees

    def _choose(self, candidates: list[Candidate]) -> list[Candidate]:
        """Half of what a run examines are those that may cost most, the others take turns."""
        candidates.sort(key=lambda candidate: (-candidate.weight, candidate.entry))
        half = MAX_CANDIDATES // 2
        others = candidates[half:]
        if len(others) <= half:
            return candidates
        turn = self._runs * half % len(others)
        return [*candidates[:half], *(others[turn:] + others[:turn])[:half]]

    def _with_values(
        self, findings: Sequence[Finding], since: float, until: float
    ) -> Sequence[Finding]:
        """The findings with what their transactions are worth, by the definitions."""
        if not findings:
            return findings
        rows = self._statements.rows(
            queries.FINDING_VALUES, since=datetime64_text(since), until=datetime64_text(until)
        )
        by_entry: dict[str, list[queries.FindingValuesRow]] = {}
        for row in rows:
            by_entry.setdefault(f"{row['service']}: {row['operation']}", []).append(row)
        per_day = DAY / max(until - since, 1.0)

        def valued(cost: TransactionCost) -> TransactionCost:
            defined = by_entry.get(cost.name, [])
            worth = sum(row["value"] for row in defined)
            return replace(
                cost,
                defined=tuple(row["transaction"] for row in defined),
                value_per_day=worth * per_day * cost.share if worth else None,
            )

        return [
            replace(finding, transactions=tuple(map(valued, finding.transactions)))
            for finding in findings
        ]

    def _store(
        self, findings: Sequence[Finding], traffic: Traffic, until: float, version: int
    ) -> None:
        stored = self._records.all()
        ids = {finding.id for finding in findings}
        findings = [*findings, *self._lasting(stored, ids, traffic)]
        seen = [finding for finding in findings if not _was_resolved(stored, finding)]
        regressed = [
            finding.id
            for finding in seen
            if finding.id in stored and stored[finding.id].state is FindingState.RESOLVED
        ]
        self._records.put(
            seen, {id: record.first_seen for id, record in stored.items()}, until, version
        )
        self._records.change(regressed, FindingState.REGRESSED, until)
        traces = {row["id"]: row["traces"] for row in traffic.entries.values()}
        seen_ids = {finding.id for finding in findings}
        ended = [
            id
            for id, record in stored.items()
            if id not in seen_ids
            and record.finding.rule not in self._failures.failed
            and _has_ended(record, traces, until)
        ]
        self._records.change(ended, FindingState.RESOLVED, until, reason=ENDED)

    def _lasting(
        self, stored: Mapping[str, StoredFinding], seen: Collection[str], traffic: Traffic
    ) -> Iterator[Finding]:
        """The findings of rules that see changes whose changes were found earlier, and last."""
        rules = {rule.name: rule for rule in self._rules if rule.sees_changes}
        for id, record in stored.items():
            rule = rules.get(record.finding.rule)
            if rule and id not in seen and record.state in OPEN_STATES:
                with self._failures.guard(rule.name):
                    if rule.persists(record.finding, traffic):
                        yield record.finding


ENDED = "not seen for a day"
OPEN_STATES = (FindingState.OPEN, FindingState.REVIEWED, FindingState.REGRESSED)


def _window(hours: Sequence[queries.FindingWindowRow], until: float) -> tuple[float, int]:
    """Since when traces are looked at, and how many spans they have."""
    since, spans = until - HOUR, 0
    for row in hours:
        if row["hour"] + HOUR <= until - HOUR and spans + row["spans"] > ENOUGH_SPANS:
            break
        spans += row["spans"]
        since = min(since, max(row["hour"], until - DAY))
    return max(since, 0.0), spans


def _was_resolved(stored: Mapping[str, StoredFinding], finding: Finding) -> bool:
    """Whether all that is seen of it began before it was resolved."""
    record = stored.get(finding.id)
    return (
        record is not None
        and record.state is FindingState.RESOLVED
        and finding.newest <= record.state_since
    )


def _has_ended(record: StoredFinding, traces: Mapping[str, int], until: float) -> bool:
    return (
        record.state in OPEN_STATES
        and record.last_seen < until - RESOLVED_AFTER
        and all(traces.get(cost.id, 0) >= MIN_TRAFFIC for cost in record.finding.transactions)
    )


def time_groups(starts: Mapping[str, int]) -> list[list[str]]:
    """The traces, parted at the longest times between two starts: a statement reads the spans of
    the time of its traces."""
    ordered = sorted(starts, key=lambda trace: (starts[trace], trace))
    gaps = sorted(range(1, len(ordered)), key=lambda n: starts[ordered[n - 1]] - starts[ordered[n]])
    bounds = [0, *sorted(gaps[: GROUPS - 1]), len(ordered)]
    return [ordered[a:b] for a, b in pairwise(bounds) if a < b]
