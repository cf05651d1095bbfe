"""Whom to tell what of alerts: routes, silences, maintenance, and one that stands for others."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

from clew.analysis.alerts.notifications import Notification
from clew.analysis.alerts.records import AlertRecord, Report
from clew.analysis.alerts.rules import STANDING, AlertsFile, Route
from clew.analysis.alerts.silences import Silence
from clew.analysis.alerts.states import Transition
from clew.analysis.alerts.windows import parse_every, zone_of
from clew.analysis.watching.texts import value_text

AFTER_CAUSE = 1800.0  # seconds
# Seconds from when a standing rule's ticket fires until it is told: who calls is often noticed a
# minute before what is called.
GROUP_WAIT = 120.0
Downstream = Callable[[str], Collection[str]]  # the services that a service calls, however far
Above = Callable[[AlertRecord, AlertRecord], bool]


@dataclass(frozen=True)
class Delivery:
    """A notification and who gets it."""

    notification: Notification
    receivers: tuple[str, ...]


@dataclass(frozen=True)
class Teller:
    """What holds while alerts are told of: the rules, the silences, the episodes that somebody
    takes care of, the call graph, the address of clew's pages, the services in which defined
    transactions begin, by name, and whether the spans of an alert call those of another one."""

    rules: AlertsFile
    silences: Sequence[Silence] = ()
    acknowledged: Collection[tuple[str, int]] = ()
    downstream: Downstream = lambda service: ()
    url: str = ""
    origins: Mapping[str, str] = field(default_factory=dict)
    is_above: Above = lambda record, other: False

    def tell(
        self, records: Iterable[AlertRecord], at: float
    ) -> tuple[list[Delivery], list[AlertRecord]]:
        """What is to be told at a time of the event clock, and the records that change by it."""
        records = list(records)
        causes = self._causes(records)
        by_id = {record.id: record for record in records}
        deliveries, changed = [], []
        for record in records:
            cause = causes.get(record.id) or _last_cause(record, by_id, at)
            now = replace(record, because_of=cause)
            transition = self._transition(now, at)
            if transition is not None:
                reported = Report(now.state.episode, transition, self._time(now, transition, at))
                deliveries.append(Delivery(self._notification(now, reported), self.receivers(now)))
                now = replace(now, reported=reported)
            if now != record:
                changed.append(now)
        return deliveries, changed

    def past(self, record: AlertRecord) -> Notification:
        """The notification of an episode that is over, of which nobody was told."""
        state = record.state
        return self._notification(
            record, Report(state.episode, Transition.RESOLVED, state.resolved_at)
        )

    def receivers(self, record: AlertRecord) -> tuple[str, ...]:
        """Who is told of an alert; nobody of one of severity info."""
        if record.severity == "info":
            return ()
        rule = next((rule for rule in self.rules.rules if rule.name == record.rule), None)
        if rule is not None and rule.receiver:
            return rule.receiver
        route = self._route(record)
        return self.rules.defaults.receiver if route is None else route.receiver

    def is_silent(self, record: AlertRecord, at: float) -> bool:
        """Whether a silence or a maintenance window holds for an alert."""
        labels = _labels(record)
        return any(silence.applies(labels, at) for silence in self.silences) or any(
            window.match.matches(labels)
            and parse_every(window.every).contains(at, zone_of(window.zone or self.rules.zone))
            for window in self.rules.maintenance
        )

    def _transition(self, record: AlertRecord, at: float) -> Transition | None:
        state, reported = record.state, record.reported
        is_same = reported.episode == state.episode
        was_told = is_same and reported.transition is not Transition.RESOLVED
        if not state.is_open:
            is_over = state.episode > 0 and was_told and not state.is_flapping
            return Transition.RESOLVED if is_over else None
        if record.because_of or self.is_silent(record, at):
            return None
        if state.is_flapping:
            return None if reported.transition is Transition.FLAPPING else Transition.FLAPPING
        if not was_told:
            if _waits(record, at):
                return None
            return Transition.REOPENED if is_same else Transition.FIRED
        route = self._route(record)
        is_taken = (record.id, state.episode) in self.acknowledged
        repeat = None if route is None or is_taken else route.repeat
        return Transition.REPEATED if repeat and at - reported.at >= repeat else None

    @staticmethod
    def _time(record: AlertRecord, transition: Transition, at: float) -> float:
        """When the transition happened: the same if it is told again after a crash."""
        if transition is Transition.RESOLVED:
            return record.state.resolved_at
        if transition is Transition.REPEATED:
            return at
        return record.state.firings[-1] if record.state.firings else record.state.firing_since

    def _route(self, record: AlertRecord) -> Route | None:
        labels = _labels(record)
        return next((route for route in self.rules.route if route.match.matches(labels)), None)

    def _causes(self, records: Sequence[AlertRecord]) -> dict[str, str]:
        """By id of an open alert, the id of the one that stands for it. That is as severe at least,
        as nobody is paged by a ticket. Of one service, rules that somebody wrote are each told."""
        open_records = [record for record in records if record.state.is_open]
        troubled = [r for r in open_records if not (_is_traffic(r) or _is_process(r))]
        troubles = self._heads(troubled)
        calls = cache(lambda place, other: self._calls(place, other, troubled))
        flows = self._heads(record for record in open_records if _is_traffic(record))
        used = self._heads(record for record in open_records if _is_process(record))
        causes: dict[str, str] = {}
        for record in open_records:
            cause = self._deeper(record, troubles, calls)
            if cause is None and _is_traffic(record):
                cause = self._higher(record, troubles) or self._higher(record, flows)
            if cause is None and record.rule.startswith(STANDING):
                place = self._place(record)
                # What processes use never stands for what users notice.
                heads = (flows,) if _is_traffic(record) else (troubles, flows, used)
                cause = next((one[place] for one in heads if place in one), None)
            if cause and cause is not record and _severity(cause) <= _severity(record):
                causes[record.id] = cause.id
        ends = {id: _last(id, causes) for id in causes}
        return {id: end for id, end in ends.items() if end != id}

    def _deeper(self, record: AlertRecord, heads: Heads, calls: Calls) -> AlertRecord | None:
        """The alert of the deepest service or dependency that a record's service calls: what is
        called is slow or fails, so what calls it is and does."""
        environment, origin = self._place(record)
        below = [
            heads[environment, name]
            for name in self.downstream(origin)
            if (environment, name) in heads
        ]
        deeper = [
            other
            for other in below
            if origin not in self.downstream(self._origin(other))
            or self._is_deeper(record, other, calls)
        ]
        return deeper[-1] if deeper else None

    def _is_deeper(self, record: AlertRecord, other: AlertRecord, calls: Calls) -> bool:
        """Where calls go in a circle: whether another alert is of what a record's place calls in
        the examples. Where that is not known one alert stands for the others."""
        place, target = self._place(record), self._place(other)
        down, up = calls(place, target), calls(target, place)
        return down if down != up else _weight(other) < _weight(record)

    def _calls(
        self, place: tuple[str, str], other: tuple[str, str], records: Sequence[AlertRecord]
    ) -> bool:
        """Whether an alert's spans at a place call those of an alert at another one."""
        return any(
            self.is_above(one, two)
            for one in records
            if self._place(one) == place
            for two in records
            if self._place(two) == other
        )

    def _higher(self, record: AlertRecord, heads: Heads) -> AlertRecord | None:
        """The first alert of a service that calls a record's one, if that calls none of these:
        who calls otherwise makes the traffic of what it calls unusual."""
        environment, origin = self._place(record)
        callers = [
            other
            for (where, name), other in heads.items()
            if where == environment
            and name != origin
            and origin in self.downstream(name)
            and (name not in self.downstream(origin) or _weight(other) < _weight(record))
        ]
        return min(callers, key=_weight) if callers else None

    def _heads(self, records: Iterable[AlertRecord]) -> Heads:
        """Of the alerts of a service or dependency the one that stands for the others."""
        heads: dict[tuple[str, str], AlertRecord] = {}
        for record in sorted(records, key=_weight):
            heads.setdefault(self._place(record), record)
        return heads

    def _place(self, record: AlertRecord) -> tuple[str, str]:
        """The environment, and where in the call graph an alert is; an alert that is about nothing
        in it, such as one of a statement, is in a place of its own."""
        return record.labels.get("environment", ""), self._origin(record) or record.id

    def _origin(self, record: AlertRecord) -> str:
        """Where in the call graph an alert is: at a dependency, or at a service."""
        labels = record.labels
        return (
            labels.get("dependency")
            or labels.get("service")
            or self.origins.get(labels.get("transaction", ""), "")
        )

    def _notification(self, record: AlertRecord, reported: Report) -> Notification:
        verdict = record.verdict
        rule = next((rule for rule in self.rules.rules if rule.name == record.rule), None)
        return Notification(
            alert=record.id,
            episode=reported.episode,
            transition=reported.transition,
            at=reported.at,
            firing_since=record.state.firing_since,
            rule=record.rule,
            severity=record.severity,
            labels=_labels(record),
            headline=verdict.headline,
            explanation=explanation(record),
            examples=verdict.examples,
            url=f"{self.url}/problems/{record.id}" if self.url else "",
            runbook=(rule.runbook or "") if rule is not None else "",
        )


def explanation(record: AlertRecord) -> dict[str, str]:
    """The numbers behind an alert, as texts by name."""
    verdict = record.verdict
    measure = verdict.measure
    texts = {
        "value": value_text(measure, verdict.value) if verdict.value is not None else "",
        "expected": value_text(measure, verdict.expected) if verdict.expected is not None else "",
        "usually": (
            f"{value_text(measure, verdict.lower)} to {value_text(measure, verdict.upper)}"
            if verdict.lower is not None and verdict.upper is not None
            else ""
        ),
        "requests": f"{verdict.requests:.0f}" if verdict.requests else "",
        "window": f"{verdict.window / 60:.0f} min" if verdict.window else "",
        "z": f"{verdict.z:.1f}" if verdict.z is not None else "",
        "past": (
            f"{verdict.as_large} of {verdict.past} windows were as far off" if verdict.past else ""
        ),
    }
    return {name: text for name, text in texts.items() if text} | dict(verdict.facts)


def _labels(record: AlertRecord) -> dict[str, str]:
    return {**record.labels, "severity": record.severity, "rule": record.rule}


def _waits(record: AlertRecord, at: float) -> bool:
    """Whether what stands for an alert may still come."""
    is_urgent = record.severity == "page" or not record.rule.startswith(STANDING)
    fired = record.state.firings[-1] if record.state.firings else record.state.firing_since
    return not is_urgent and at - fired < GROUP_WAIT


def _last_cause(record: AlertRecord, records: Mapping[str, AlertRecord], at: float) -> str:
    """The id of the alert that stood for an open one and was resolved just now: what it was about
    takes a while to end everywhere, and is in the open one's window for as long as that lasts.
    After AFTER_CAUSE, or the window if that is longer, the alert stands for itself."""
    cause = records.get(record.because_of)
    if cause is None or cause.state.is_open or not record.state.is_open:
        return ""
    still = max(AFTER_CAUSE, record.verdict.window)
    return cause.id if at - cause.state.resolved_at < still else ""


Heads = Mapping[tuple[str, str], AlertRecord]  # by environment, and service or dependency
Calls = Callable[[tuple[str, str], tuple[str, str]], bool]  # whether one place calls the other


def _is_traffic(record: AlertRecord) -> bool:
    return record.verdict.measure == "rate"


def _is_process(record: AlertRecord) -> bool:
    return "metric" in record.labels and record.rule.startswith(STANDING)


def _weight(record: AlertRecord) -> tuple[int, float, str]:
    """What stands for others comes first: what pages, then what fired earlier."""
    return _severity(record), record.state.firing_since, record.id


def _severity(record: AlertRecord) -> int:
    """0 for the most severe."""
    return ("page", "ticket", "info").index(record.severity)


def _last(id: str, causes: Mapping[str, str]) -> str:
    """The end of a chain of causes; of a circle the same one for all of it."""
    path = [id]
    while path[-1] in causes:
        cause = causes[path[-1]]
        if cause in path:
            return min(path[path.index(cause) :])
        path.append(cause)
    return path[-1]
