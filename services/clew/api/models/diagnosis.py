"""Why transactions became slow or fail."""

from __future__ import annotations

from typing import Literal

from clew.api.models.common import (
    Count,
    Millis,
    Response,
    Service,
    SettledUntil,
    Share,
    Time,
    TraceId,
)
from clew.api.models.events import NotedEvent
from clew.api.reference import Model

CauseKind = Literal[
    "own", "link", "code", "missing", "process", "database", "external", "version", "value"
]


class ComparedWindow(Model):
    """A window of time."""

    start: Time
    """Start of the window."""
    end: Time
    """End of the window."""


class ExcessFailures(Model):
    """Failures beyond the baseline's share, with a 95 % interval."""

    value: float
    """How many more failed than the baseline lets expect."""
    lower: float
    """Lower end of the interval."""
    upper: float
    """Upper end of the interval."""


class ApdexChange(Model):
    """Apdex of the baseline and of the window."""

    before: Share | None
    """Apdex of the baseline."""
    after: Share | None
    """Apdex of the window."""


class UserImpact(Model):
    """Users of a defined transaction."""

    touched: Count
    """Users with an occurrence in the window."""
    worse: Count
    """Of these, users of whose occurrences one failed or was slower than the baseline's p95."""
    excess: float
    """How many more than users with as many occurrences in the baseline would be."""


class ValueImpact(Model):
    """Value of a defined transaction, beyond the baseline's share."""

    lost: float
    """Value of occurrences that failed; at least 0."""
    lost_lower: float
    """Lower end of its 95 % interval, below 0 where it may be as usual."""
    lost_upper: float
    """Upper end of the interval."""
    at_risk: float
    """Value of occurrences that ended well but were slower than the baseline's p95."""


class ImpactParts(Model):
    """What the score is made of, each from 0 to 1."""

    failed: Share
    """Share of the traces that failed beyond the baseline's share, at least."""
    users: Share | None = None
    """Share of the users who had it worse, beyond the baseline's."""
    value: Share | None = None
    """Share of the value that was lost."""
    budget: Share | None = None
    """Share of a month's error budget that is spent, at most 1."""


class Impact(Model):
    """What the window cost, beyond what the baseline lets expect."""

    traces: Count
    """Traces in the window."""
    failed: ExcessFailures
    """Failures; of a defined transaction, of its occurrences."""
    user_hours: float
    """Hours that all requests took longer than the baseline's mean."""
    apdex: ApdexChange
    """Apdex of the entry spans before and after."""
    users: UserImpact | None
    """Users; null unless the transaction is defined."""
    value: ValueImpact | None
    """Value; null unless the transaction is defined."""
    budget_share: float | None
    """Share of a month's error budget that the window takes beyond the baseline, 1 for all of it;
    null unless the transaction is defined and has an slo."""
    score: Share
    """One number: 1 - Π(1 - part)."""
    parts: ImpactParts
    """The parts of the score."""


class TimeChange(Model):
    """An operation or a link that takes longer, or calls that do."""

    operation: str
    """Name of the operation; of a link to a database the summary of its statements."""
    target: str
    """Where a link leads to; empty for an operation."""
    type: Literal["own", "service", "database", "external", "queue", "calls"]
    """`own`: the operation's time without its children. `calls`: the time that the service waits
    for others in this operation, or that the operation runs, per call of the service, longer
    because there are more calls, or one comes after the other. Otherwise what the link leads to."""
    calls: Count
    """Calls in the window."""
    ms: Millis
    """Mean time per call in the window."""
    baseline_ms: Millis
    """Mean time per call in the baseline."""
    extra_ms: float
    """How much longer each trace of the window took because of it, on average."""
    z: float
    """The difference in its standard errors (Welch's test)."""


class StructureChange(Model):
    """An operation or a call that is made more or less often per call of the service."""

    operation: str
    """Name of the operation; empty for failed calls."""
    target: str
    """Of failed calls, where they lead to."""
    what: Literal["calls", "failed calls"]
    """What is counted."""
    came: float
    """How many there were in the window."""
    expected: float
    """How many the baseline lets expect."""
    z: float
    """The difference in standard deviations."""


class LogChange(Model):
    """A kind of log record, or an exception, that is new or missing."""

    kind: Literal["record", "exception"]
    """Whether it is a kind of log record, or an exception of spans or log records."""
    change: Literal["new", "missing"]
    """Whether it is new, or did not come."""
    place: str
    """Place in the code: `function (file:line)`, without a file `function#line`. Of an exception
    the innermost frame of the service's own code. Empty if unknown."""
    severity: str
    """Level of the record."""
    text: str
    """An example of the text."""
    came: float
    """How many there were in the window."""
    expected: float
    """How many the baseline lets expect."""
    weight: float
    """How much it counts: the logarithm of the difference."""
    example: str
    """Id of a trace with such a record; empty if there is none."""
    span_id: str
    """Span that reports it in that trace; empty if unknown."""


class ProcessChange(Model):
    """A gauge of a process that was far higher than usual."""

    metric: str
    """Name of the metric."""
    instance: str
    """`service.instance.id` of the process."""
    instance_name: str
    """What it is called: its id; of a UUID the first eight letters, behind its pod or host."""
    unit: str
    """Unit of the metric, in UCUM."""
    highest: float
    """Highest value in the window."""
    usual: float
    """Median of the baseline."""
    deviation: float
    """The difference in interquartile ranges of the baseline."""


class TimeEvidence(Model):
    """Evidence of time."""

    score: float
    """What it adds to the cause's score."""
    changes: list[TimeChange]
    """What changed, the strongest first."""


class StructureEvidence(Model):
    """Evidence of structure: what is called how often."""

    score: float
    """What it adds to the cause's score."""
    changes: list[StructureChange]
    """What changed, the strongest first."""


class LogEvidence(Model):
    """Evidence of log records and exceptions."""

    score: float
    """What it adds to the cause's score."""
    changes: list[LogChange]
    """What changed, the strongest first."""


class ProcessEvidence(Model):
    """Evidence of the processes' gauges."""

    score: float
    """What it adds to the cause's score."""
    changes: list[ProcessChange]
    """What changed, the strongest first."""


class CauseEvidence(Model):
    """The evidence by kind."""

    time: TimeEvidence
    """Operations and links that take longer."""
    structure: StructureEvidence
    """Operations that run more or less often."""
    logs: LogEvidence
    """Log records and exceptions that are new or missing."""
    process: ProcessEvidence
    """Load of the processes."""


class CauseValue(Model):
    """A value of an attribute whose calls have most of what changed."""

    key: str
    """Key of the attribute."""
    value: str
    """Value of the attribute."""
    source: Literal["span", "resource"]
    """Whether it is an attribute of spans or of resources."""
    measure: Literal["time", "failures"]
    """What changed."""
    share: Share
    """Share of the change that calls with this value have."""
    calls_share: Share
    """Share of the calls with this value."""
    calls: Count
    """Calls with this value in the window."""
    is_new: bool
    """Whether the baseline has no call with this value."""


class ExampleRecord(Model):
    """The most severe log record of the suspected service in a trace, the last one of these."""

    severity: str
    """Its severity."""
    text: str
    """Its text, the first 500 characters."""
    span_id: str
    """Span that wrote it; empty if unknown."""
    place: str
    """Place in the code: `function (file:line)`; empty if unknown."""


class CauseExample(Model):
    """A trace of the window that shows the cause."""

    trace_id: TraceId
    """The trace."""
    duration_ms: Millis
    """Duration of its entry span."""
    is_error: bool
    """Whether its entry span is in error."""
    span_id: str
    """The suspect's span to look at: the longest of the operation, or the longest call if what
    differs is at the other end of one; empty if there is none."""
    place: str
    """Place in the code of what the suspect was asked for: `function (file:line)`; empty unless
    its spans say it."""
    record: ExampleRecord | None
    """Log record of the suspect; null without one."""


class Cause(Model):
    """A suspected cause: a service, and what differs there."""

    service: Service
    """The suspected service."""
    operation: str
    """The operation in which the change shows most; empty if it shows in none."""
    kind: CauseKind
    """`own`: it takes longer itself. `link`: the network to or from it. `code`: it does something
    else than before. `missing`: what it always did does not happen. `process`: its process is
    loaded, or waits for a connection. `database`, `external`: `target` is slow or fails.
    `version`, `value`: calls of one version, or with one value of an attribute, have the
    change."""
    target: str
    """What is at the other end: a service, a database, a host; empty if there is none."""
    score: float
    """Strength: the weighted sum of the evidence. Below 0.6 there is no cause."""
    confidence: Share
    """Share of this score in the scores of all suspects."""
    evidence: CauseEvidence
    """What speaks for it."""
    places: list[LogChange]
    """Places in the code, the most telling first."""
    exceptions: list[LogChange]
    """Exceptions that are new."""
    statements: list[TimeChange]
    """Statements that take longer."""
    versions: list[CauseValue]
    """Versions that have most of the change. Of the first three causes, like the lists below."""
    instances: list[CauseValue]
    """Instances that have most of the change."""
    values: list[CauseValue]
    """Other attribute values that have most of the change."""
    events: list[NotedEvent]
    """Deployments, feature flags and the like of the service, or of no service, from an hour before
    the window on."""
    examples: list[CauseExample]
    """Up to three traces of the window."""
    advice: str
    """What to do next."""
    sql: list[str]
    """The statements whose rows have the numbers of the evidence."""


class Diagnosis(Response):
    """Why transactions became slow or fail."""

    window: ComparedWindow
    """The window that is explained."""
    window_because: str | None
    """Why it is this one: what was found in the last three hours, or that too little is known; null
    if the request says it, or an alert of whose own time a cause is named."""
    baseline: ComparedWindow
    """The window that it is compared with, without the explained one."""
    onset: Time
    """When it began, to the minute."""
    impact: Impact | None
    """What it cost; null without traces to compare."""
    causes: list[Cause]
    """The causes, the most likely first."""
    none_because: str | None
    """Why no cause is named; null if one is."""
    settled_until: SettledUntil = None
