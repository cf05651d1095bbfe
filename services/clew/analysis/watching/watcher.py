"""The watcher: a thread that judges the rules for every minute once its rows are stored.

For each minute, in order: verdicts, states, and what is to be told. States are stored before what
is told, and what is told before it is noted as told; all of it can be done again after a kill, and
leaves the same rows. Minutes that clew missed, because it was stopped, are judged afterwards; what
began and ended meanwhile is told in one line, and nothing else is told of the past.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from clew.analysis.alerts.notes import Notes
from clew.analysis.alerts.outbox import Outbox, OutboxEntry
from clew.analysis.alerts.records import AlertRecord, AlertRecords
from clew.analysis.alerts.rulebook import Rulebook
from clew.analysis.alerts.rules import AlertsFile, Rule, Rules
from clew.analysis.alerts.silences import Silences
from clew.analysis.alerts.states import Known, State, Timing, Transition, advance
from clew.analysis.alerts.verdicts import Verdict
from clew.analysis.transactions.definitions import Definition
from clew.analysis.watching.calls import CallGraph
from clew.analysis.watching.deployments import read_deployments
from clew.analysis.watching.evidence import Evidence, SqlRunner
from clew.analysis.watching.judges import judged
from clew.analysis.watching.judges.combined import combine
from clew.analysis.watching.learner import Learner
from clew.analysis.watching.nesting import Nesting
from clew.analysis.watching.progress import WatcherProgress
from clew.analysis.watching.proofs import example_traces
from clew.analysis.watching.series import MINUTE, Series, WatchedSeries
from clew.analysis.watching.standing import all_rules
from clew.analysis.watching.telling import Delivery, Teller
from clew.background import Stop, Worker
from clew.storage.statements import Statements

logger = logging.getLogger(__name__)

SETTLED_AFTER = 30.0  # seconds after a minute's end, when its rows are judged
LATE_MINUTES = 5  # minutes before, of which late rows may have come
MAX_MISSED = 86_400.0  # seconds: what was missed before is not judged
OLD_AFTER = 900.0  # seconds: of a minute that is older when it is judged nobody is told


@dataclass(frozen=True)
class Inputs:
    """What the watcher is handed besides its tables. `definitions`: those in force; `last_insert`:
    when rows were stored last; `catch_up`: have what was received stored; `is_received`: whether
    telemetry is taken in; `run_sql`: run a statement under the reading role; `calls`: who called
    whom before a time; `url`: the address of the pages; `diagnose`: have an alert that fires
    diagnosed, without waiting; `now`: the time in seconds since 1970."""

    now: Callable[[], float]
    definitions: Callable[[], Sequence[Definition]]
    last_insert: Callable[[], float] = lambda: float("inf")
    catch_up: Callable[[], object] = lambda: None
    is_received: Callable[[], bool] = lambda: True
    run_sql: SqlRunner = lambda sql: ()
    calls: Callable[[float], CallGraph] = lambda at: CallGraph(())
    url: str = ""
    diagnose: Callable[[AlertRecord], None] = lambda record: None


class Watcher:
    """Judges the rules of a rulebook, minute by minute. `notify` is called when something was put
    into the outbox. For one thread, and one watcher for each database."""

    def __init__(
        self,
        statements: Statements,
        watched: WatchedSeries,
        rulebook: Rulebook,
        records: AlertRecords,
        silences: Silences,
        notes: Notes,
        outbox: Outbox,
        progress: WatcherProgress,
        learner: Learner,
        inputs: Inputs,
        notify: Callable[[], None] = lambda: None,
    ) -> None:
        self._statements = statements
        self._watched = watched
        self._rulebook = rulebook
        self._stored = records
        self._silences = silences
        self._notes = notes
        self._outbox = outbox
        self._progress = progress
        self._learner = learner
        self._nesting = Nesting(statements)
        self._inputs = inputs
        self._notify = notify
        self._records: dict[str, AlertRecord] | None = None
        self._last_seen: dict[Series, float] = {}
        self._since = 0.0
        self._hours: dict[tuple[str, float], Any] = {}
        self._version = 0
        worker = Worker("watcher", self._work, "alerts are not judged")
        self.start = worker.start
        self.paused = worker.paused
        self.stop = worker.stop
        self.close = worker.close

    def _work(self, stop: Stop) -> float:
        if not self._progress.hold():
            return float(MINUTE)
        self.watch(stop)
        return self.due_in()

    def due_in(self) -> float:
        """Seconds until the next minute can be judged."""
        due = self._progress.until + MINUTE + SETTLED_AFTER
        return max(0.0, due - self._inputs.now())

    def lag(self) -> float:
        """Seconds since the end of the last minute that was judged."""
        return self._inputs.now() - self._progress.until

    def watch(self, stop: Stop) -> None:
        """Judge every minute that is over. Raises StorageError, Stopped."""
        now = self._inputs.now()
        last = int(now - SETTLED_AFTER) // MINUTE * MINUTE
        if self._records is None:
            self._begin(now, last)
        first = max(self._progress.until, last - MAX_MISSED)
        if first >= last:
            return
        self._inputs.catch_up()
        missed: dict[str, AlertRecord] = {}
        at = float(first)
        while at < last:
            stop.check()
            at = min(at + MINUTE, last)
            is_old = last - at >= OLD_AFTER
            for record in self._judge(at):
                if is_old and record.state.state is State.RESOLVED:
                    missed[record.id] = record
            if not is_old:
                self._tell(at, missed)
                missed = {}
            self._progress.advance(at)

    def _begin(self, now: float, last: float) -> None:
        """Read what a watcher before this one has left."""
        self._records = self._stored.all()
        self._version = max((record.version for record in self._records.values()), default=0)
        self._last_seen = self._watched.last_seen(last)
        self._progress.begin(last)
        self._since = self._progress.began_at

    def _judge(self, at: float) -> list[AlertRecord]:
        """Judge a minute, which ends at `at`; returns the records whose state changed."""
        assert self._records is not None
        rules = self._rulebook.current().all
        listed = all_rules(rules)
        evidence = self._evidence(at, rules)
        verdicts = {rule.name: verdicts for rule, verdicts in judged(listed, evidence)}
        complete = combine(listed, verdicts, at)
        changed, states = [], []
        for rule in listed:
            severity = rule.severity or rules.defaults.severity
            for verdict in [*complete[rule.name], *self._unjudged(rule, complete[rule.name], at)]:
                before = self._records.get(verdict.alert) or AlertRecord(verdict, severity)
                after = _advanced(before, verdict, severity, timing(rule, rules))
                if after.state.is_open and not before.state.is_open:
                    after = self._with_examples(after)
                if after != before or verdict.alert not in self._records:
                    changed.append(after)
                if after.state.state is not before.state.state:
                    states.append(after)
        self._remove(listed, at)
        self._stored.put_changes(states)
        self._put(record for record in changed if _is_worth_keeping(record))
        return states

    def _with_examples(self, record: AlertRecord) -> AlertRecord:
        examples = example_traces(self._statements, record.verdict)
        return replace(record, verdict=replace(record.verdict, examples=examples))

    def _evidence(self, at: float, rules: Rules) -> Evidence:
        self._learner.prepare(at, rules, self._inputs.definitions())
        last_insert = self._inputs.last_insert()
        start = at - LATE_MINUTES * MINUTE
        slots = self._watched.slots(start, at) if start <= last_insert else []
        if self._inputs.is_received():
            self._learner.add(start, at, slots)
        for slot in slots:
            seen = self._last_seen.get(slot.series, 0.0)
            self._last_seen[slot.series] = max(seen, float(slot.at))
        return Evidence(
            at,
            self._watched,
            self._inputs.definitions(),
            self._last_seen,
            self._since,
            self._inputs.is_received(),
            self._learner.usual(at),
            self._learner.shifted,
            self._labels(),
            last_insert,
            rules.zone,
            self._inputs.run_sql,
            self._hours,
            lambda start, end: read_deployments(self._statements, start, end),
            self._learner.processes,
        )

    def _labels(self) -> dict[str, list[Mapping[str, str]]]:
        """The labels of the alerts that there are, by rule."""
        assert self._records is not None
        labels: dict[str, list[Mapping[str, str]]] = {}
        for record in self._records.values():
            labels.setdefault(record.rule, []).append(record.labels)
        return labels

    def _unjudged(self, rule: Rule, verdicts: Iterable[Verdict], at: float) -> Iterable[Verdict]:
        """Of alerts of the rule that have no verdict now: their series is not known any more."""
        assert self._records is not None
        present = {verdict.alert for verdict in verdicts}
        for record in self._records.values():
            if record.rule == rule.name and record.id not in present:
                yield replace(record.verdict, at=at, holds=None, known=Known.NO_DATA)

    def _remove(self, rules: Sequence[Rule], at: float) -> None:
        """Remove the alerts of rules that are gone: those that fire are resolved first."""
        assert self._records is not None
        names = {rule.name for rule in rules}
        removed = [record for record in self._records.values() if record.rule not in names]
        ended = [
            replace(
                record,
                state=replace(record.state, state=State.RESOLVED, since=at, resolved_at=at),
                verdict=replace(record.verdict, at=at, holds=False),
            )
            for record in removed
            if record.state.is_open
        ]
        if ended:
            self._stored.put_changes(ended)
            self._put(ended)
        old = [record for record in removed if not record.state.is_open]
        if old:
            self._version += 1
            self._stored.remove(old, self._version)
            for record in old:
                del self._records[record.id]

    def _tell(self, at: float, missed: Mapping[str, AlertRecord]) -> None:
        """Put into the outbox what is to be told, then note that it was."""
        assert self._records is not None
        if not missed and not any(_is_of_interest(record) for record in self._records.values()):
            return
        rules = self._rulebook.current().all
        teller = Teller(
            rules,
            self._silences.since(at),
            self._notes.acknowledged(),
            self._inputs.calls(at).downstream,
            self._inputs.url,
            {one.name: one.match.service or "" for one in self._inputs.definitions()},
            self._nesting.is_above,
        )
        deliveries, changed = teller.tell(self._records.values(), at)
        deliveries += _summary(missed, teller, rules)
        entries = [
            OutboxEntry(receiver, delivery.notification, self._inputs.now())
            for delivery in deliveries
            for receiver in delivery.receivers
        ]
        for delivery in deliveries:
            notification = delivery.notification
            if notification.transition in (Transition.FIRED, Transition.REOPENED):
                self._inputs.diagnose(self._records[notification.alert])
        self._outbox.put(entries)
        self._put(changed)
        if entries:
            self._notify()

    def _put(self, records: Iterable[AlertRecord]) -> None:
        assert self._records is not None
        records = list(records)
        if records:
            self._version = max(self._version + 1, int(self._inputs.now() * 1e9))
            for record in self._stored.put(records, self._version):
                self._records[record.id] = record


def timing(rule: Rule, rules: Rules) -> Timing:
    """How long a rule must hold, and must not hold."""
    keep = rule.keep_firing_for
    return Timing(rule.hold, rules.defaults.keep_firing_for if keep is None else keep)


def _advanced(record: AlertRecord, verdict: Verdict, severity: str, times: Timing) -> AlertRecord:
    """The record after a verdict. A verdict that could not be judged leaves the last numbers."""
    state, _ = advance(record.state, verdict.holds, verdict.at, times)
    is_news = state.state is not record.state.state or state.is_open or verdict.holds
    latest = verdict if is_news and verdict.holds is not None else record.verdict
    if not latest.headline:  # of a series that is usual again there is nothing to say
        latest = replace(record.verdict, at=verdict.at, holds=latest.holds)
    if state.is_open and not latest.examples:
        latest = replace(latest, examples=record.verdict.examples)
    return replace(record, state=state, known=verdict.known, severity=severity, verdict=latest)


def _is_worth_keeping(record: AlertRecord) -> bool:
    """Whether there is anything to say: a series that was always as it should be has no row, unless
    its rule is in error."""
    is_error = record.known is Known.ERROR
    is_past = record.state.episode > 0 or record.version > 0
    return record.state.state is not State.OK or is_past or is_error


def _is_of_interest(record: AlertRecord) -> bool:
    is_told = record.reported.transition is not Transition.RESOLVED
    return record.state.is_open or (is_told and record.reported.episode > 0)


def _summary(
    missed: Mapping[str, AlertRecord], teller: Teller, rules: AlertsFile
) -> list[Delivery]:
    """One line for the alerts that began and ended while nobody watched."""
    over = [record for record in missed.values() if record.reported.episode < record.state.episode]
    if not over:
        return []
    first = over[0]
    what = "1 alert" if len(over) == 1 else f"{len(over)} alerts"
    headline = f"{what} began and ended while clew did not watch: {first.verdict.headline}"
    summarized = replace(first, verdict=replace(first.verdict, headline=headline))
    return [Delivery(teller.past(summarized), rules.defaults.receiver or teller.receivers(first))]
