"""What a file of alert rules may say: rules, routes, receivers and maintenance windows.
`json_schema` describes every field for editors.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AliasChoices, ConfigDict, Field, model_validator

from clew.analysis import documents
from clew.analysis.alerts.quantities import Amount, Seconds, Share, When
from clew.analysis.alerts.receivers import Heartbeat, Receiver
from clew.analysis.alerts.windows import parse_every, zone_of
from clew.analysis.documents import UNQUOTED, Distinct, EditorSchema, Fields, Name, OneOrMore, Text

MAX_RULES = 500
STANDING = "clew: "  # with this begin the names of rules that nobody wrote
MAX_ROUTES = 100
MAX_RECEIVERS = 100
MAX_WINDOWS = 100
MAX_BUDGETS = 200

Severity = Literal["page", "ticket", "info"]
Measure = Literal["rate", "error_rate", "p50", "p75", "p95", "value_lost"]
MEASURES: tuple[Measure, ...] = ("rate", "error_rate", "p50", "p75", "p95", "value_lost")
Sensitivity = Literal["low", "normal", "high"]
Label = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.]{0,99}$")]
Count = Annotated[int, Field(ge=0, le=1_000_000_000), UNQUOTED]


class RuleKind(StrEnum):
    """What decides whether a rule holds. Each is a field of Rule, and a rule has one of them;
    `when` alone stands beside `metric`, `ratio` or `sql`, or makes a threshold of a series."""

    THRESHOLD = "when"
    RATIO = "ratio"
    SQL = "sql"
    SLO = "slo"
    BASELINE = "baseline"
    REGRESSION = "regression"
    ABSENCE = "absent"
    FORECAST = "forecast"
    BUDGET = "budget"
    ALL = "all"
    ANY = "any"
    NOT = "not"


def _plural(name: str) -> Any:
    """A field that can also be written in the plural."""
    return Field(validation_alias=AliasChoices(name, f"{name}s"))


class Select(Fields):
    """Which series: every field that is given must match; `*` stands for any characters."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    transaction: Annotated[Text | None, _plural("transaction")] = None
    """Business transactions, by name or id."""
    service: Annotated[Text | None, _plural("service")] = None
    """Services: service.name."""
    operation: Annotated[Text | None, _plural("operation")] = None
    """Operations of services: the name of the span."""
    dependency: Text | None = None
    """Databases, queues and hosts outside, as the service map names them."""
    metric: Text | None = None
    """Metrics of services' processes, such as `process.memory.usage`: of baselines alone."""
    environment: Text | None = None
    """Environments: deployment.environment.name."""

    @model_validator(mode="after")
    def _not_empty(self) -> Select:
        if not self.model_dump(exclude_none=True):
            raise ValueError(f"name one of {', '.join(type(self).model_fields)}")
        return self

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether the labels of a series match."""
        return all(
            _matches(pattern, labels.get(name, ""))
            for name, pattern in self.model_dump(exclude_none=True).items()
        )


def _matches(pattern: str, text: str) -> bool:
    if "*" not in pattern:
        return pattern == text
    expression = ".*".join(re.escape(part) for part in pattern.split("*"))
    return bool(text) and re.fullmatch(expression, text, re.DOTALL) is not None


class Forecast(Fields):
    """A value that is reached if the metric goes on as it does."""

    reaches: Amount
    """The value."""
    within: Seconds
    """From now on."""


class RatioPart(Fields):
    """One of the two series of a ratio."""

    select: Select
    """The series; several are summed."""
    measure: Literal["count", "errors", "value", "value_lost"] = "count"
    """What is summed over the window."""


class Ratio(Fields):
    """The sums of two series, divided."""

    part: RatioPart
    """What is divided."""
    total: RatioPart
    """What it is divided by."""


class Limits(Fields):
    """What a transaction or an operation may cost. What is counted in a trace is counted in those
    that begin with it."""

    p95: Seconds | None = None
    """The 95th percentile of the duration."""
    error_rate: Share | None = None
    """The share of requests that fail."""
    calls: Amount | None = None
    """Calls to other services, databases, hosts and queues in a trace, on average."""
    database_time: Seconds | None = None
    """Time in calls of databases in a trace, on average."""
    payload: Amount | None = None
    """Bytes of the response's body (http.response.body.size), on average."""
    cost: Seconds | None = None
    """Time of all services together for an occurrence, on average."""

    @model_validator(mode="after")
    def _limits_something(self) -> Limits:
        if not self.listed:
            raise ValueError(f"write a limit: {', '.join(sorted(Limits.model_fields))}")
        return self

    @property
    def listed(self) -> dict[str, float]:
        """The limits that are given, by measure."""
        limits = {name: getattr(self, name) for name in Limits.model_fields}
        return {name: limit for name, limit in limits.items() if limit is not None}


class Rule(Fields):
    """A rule: which series it watches, when it holds, and who is told."""

    model_config = ConfigDict(populate_by_name=True, serialize_by_alias=True)

    name: Name
    """The rule's name."""
    select: Select | None = None
    """The series; each has an alert of its own."""
    metric: Text | None = None
    """A metric's name, in place of the measures of requests. Each stream is a series."""
    when: When | None = None
    """The condition, such as `p95 > 800ms` or, of a metric, a ratio or SQL, `value > 3`."""
    over: Seconds = 300.0
    """The window that is judged."""
    slo: Text | None = None
    """A transaction with an slo, whose error budget burns."""
    baseline: Annotated[
        tuple[Measure | Literal["value"], ...], OneOrMore(), Field(max_length=6)
    ] = ()
    """Measures that must stay within what is usual at that hour; `value` of a metric."""
    regression: Annotated[tuple[Measure, ...], OneOrMore(), Field(max_length=6)] = ()
    """Measures that must not be worse than in the weeks before."""
    effect: Share | None = None
    """The smallest regression that matters, such as 10%."""
    sensitivity: Sensitivity = "normal"
    """How certain a deviation from a baseline must be."""
    absent: Seconds | None = None
    """It holds when nothing came for so long."""
    forecast: Forecast | None = None
    """It holds when the metric reaches a value within a time."""
    budget: Limits | None = None
    """What the series may cost: it holds when one of the limits is passed, judged once an hour."""
    ratio: Ratio | None = None
    """Two series, of which `when` compares the ratio, called `value`."""
    sql: Annotated[str, Field(min_length=1, max_length=20_000)] | None = None
    """A SELECT; `when` compares its column `value`, the other columns are labels."""
    all: Annotated[tuple[Name, ...], Field(max_length=20)] = ()
    """Names of rules which must all hold."""
    any: Annotated[tuple[Name, ...], Field(max_length=20)] = ()
    """Names of rules of which one must hold."""
    negated: Annotated[Name | None, Field(alias="not")] = None
    """The name of a rule which must not hold."""
    only_while: Name | None = None
    """The name of another rule: this one holds only while that one does."""
    hold: Annotated[Seconds, Field(alias="for")] = 0.0
    """How long it must hold before the alert fires."""
    keep_firing_for: Seconds | None = None
    """How long it must not hold before the alert is resolved."""
    min_requests: Count = 0
    """With fewer requests in the window it is not judged."""
    min_events: Count = 0
    """With fewer bad requests in the window it does not hold."""
    severity: Severity | None = None
    """Whom it concerns: page wakes people, ticket waits until they look, info tells nobody."""
    receiver: Annotated[tuple[Name, ...], OneOrMore(), Field(max_length=10)] = ()
    """Who is told, in place of the routes."""
    labels: Annotated[dict[Label, Text], Field(max_length=20)] = Field(default={})
    """Further labels of its alerts, for routes."""
    runbook: Text | None = None
    """Where to read what to do."""

    @property
    def kind(self) -> RuleKind:
        """What decides whether the rule holds."""
        return next(kind for kind in reversed(RuleKind) if self._is_given(kind))

    @property
    def named_rules(self) -> tuple[str, ...]:
        """The other rules that this one rests on."""
        singles = (name for name in (self.negated, self.only_while) if name is not None)
        return (*self.all, *self.any, *singles)

    def _is_given(self, kind: RuleKind) -> bool:
        value = self.negated if kind is RuleKind.NOT else getattr(self, kind.value)
        return value is not None and value != ()

    @model_validator(mode="after")
    def _has_one_kind(self) -> Rule:
        kinds = [kind for kind in RuleKind if self._is_given(kind)]
        compared = {RuleKind.RATIO, RuleKind.SQL} & set(kinds)
        if compared and RuleKind.THRESHOLD in kinds:
            kinds.remove(RuleKind.THRESHOLD)
        if len(kinds) != 1:
            listed = ", ".join(RuleKind)
            several = f", not {' and '.join(kinds)}" if kinds else ""
            raise ValueError(f"a rule has one of {listed}{several}")
        if compared and self.when is None:
            raise ValueError(f"write when: value > …, which the {kinds[0]} is compared with")
        self._check_kind(kinds[0])
        return self

    def _check_kind(self, kind: RuleKind) -> None:
        selects = (RuleKind.BASELINE, RuleKind.REGRESSION, RuleKind.ABSENCE, RuleKind.BUDGET)
        if kind in selects and self.select is None and self.metric is None:
            raise ValueError(f"{kind} needs a select, which names the series")
        is_of_processes = self.select is not None and self.select.metric is not None
        if is_of_processes and kind is not RuleKind.BASELINE and self.metric is None:
            raise ValueError("a selection by metric is for baselines: write metric beside select")
        if ("value" in self.baseline) != (is_of_processes and kind is RuleKind.BASELINE):
            raise ValueError("baseline: value goes with a select that names a metric")
        if kind is RuleKind.FORECAST and self.metric is None:
            raise ValueError("a forecast needs a metric")
        if kind is RuleKind.THRESHOLD and self.when is not None:
            if self.metric is None and self.select is None:
                raise ValueError("when needs a select or a metric, which names the series")
            allowed = ("value",) if self.metric else MEASURES
            if self.when.measure not in allowed:
                raise ValueError(
                    f"{self.when.measure!r} is not a measure: write one of {', '.join(allowed)}"
                )
        if kind in (RuleKind.RATIO, RuleKind.SQL) and self.when and self.when.measure != "value":
            raise ValueError(f"{self.when.measure!r} is not known here: write value > …")


class Watch(Fields):
    """Series that are compared with their baselines without a rule for each."""

    select: Select
    """The series."""
    metrics: Annotated[tuple[Measure, ...], OneOrMore(), Field(min_length=1, max_length=6)] = (
        MEASURES
    )
    """Their measures."""
    sensitivity: Sensitivity = "normal"
    """How certain a deviation must be."""
    min_requests: Count = 200
    """With fewer requests in four weeks a series is not watched."""
    severity: Severity | None = None
    """The severity of their alerts."""


class Regressions(Fields):
    """Regressions that are looked for without a rule for each."""

    select: Select
    """The series."""
    effect: Share = 0.12
    """The smallest change that matters."""
    severity: Severity | None = None
    """The severity of their alerts."""


class Budget(Limits):
    """What the transactions or operations of a selection may cost. It holds over a day."""

    select: Select
    """The transactions or operations."""
    over: Seconds = 86_400.0
    """The window that is judged, once an hour."""
    severity: Severity | None = None
    """The severity of its alert."""


class Labels(Fields):
    """Labels that an alert must have; `*` stands for any characters."""

    severity: Severity | None = None
    """The alert's severity."""
    rule: Text | None = None
    """The rule's name."""
    transaction: Text | None = None
    """The transaction's name or id."""
    service: Text | None = None
    """The service."""
    operation: Text | None = None
    """The operation."""
    dependency: Text | None = None
    """The database, queue or host."""
    environment: Text | None = None
    """The environment."""
    labels: Annotated[dict[Label, Text], Field(max_length=20)] = Field(default={})
    """Labels of rules and of SQL."""

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether the labels of an alert match."""
        patterns = self.model_dump(exclude_none=True)
        patterns |= patterns.pop("labels", {})
        return all(_matches(pattern, labels.get(name, "")) for name, pattern in patterns.items())


class Route(Fields):
    """Which alerts go to whom. The first route that matches counts."""

    match: Labels = Field(default_factory=Labels)
    """The alerts; all of them if it is left out."""
    receiver: Annotated[tuple[Name, ...], OneOrMore(), Field(min_length=1, max_length=10)]
    """Who is told."""
    repeat: Seconds | None = None
    """Tell it again so often while it fires."""


class Maintenance(Fields):
    """A time in which alerts tell nobody, and which baselines leave out."""

    match: Labels
    """The alerts."""
    every: Annotated[Text, AfterValidator(lambda text: parse_every(text) and text)]
    """Days and hours, such as `Sun 02:00-04:00`."""
    zone: Annotated[Text, AfterValidator(lambda name: zone_of(name) and name)] | None = None
    """The time zone, if it is another than the document's."""
    reason: Text | None = None
    """Why."""


class Defaults(Fields):
    """What rules have that do not say otherwise."""

    severity: Severity = "ticket"
    """Whom alerts concern."""
    receiver: Annotated[tuple[Name, ...], OneOrMore(), Field(max_length=10)] = ()
    """Who is told when no route matches."""
    keep_firing_for: Seconds = 600.0
    """How long a rule must not hold before its alert is resolved."""


class Rules(Fields):
    """Rules, routes and windows: what may come over the API."""

    zone: Annotated[Text, AfterValidator(lambda name: zone_of(name) and name)] = "UTC"
    """The time zone of seasons and windows: the business's."""
    defaults: Defaults = Field(default_factory=Defaults)
    """Severity, receiver and time of rules that do not say otherwise."""
    watch: Annotated[tuple[Watch, ...], Field(max_length=MAX_WINDOWS)] = ()
    """Series that are compared with their baselines. Left out: transactions and entries."""
    regressions: Annotated[tuple[Regressions, ...], OneOrMore(), Field(max_length=MAX_WINDOWS)] = ()
    """Regressions that are looked for. Left out: those of services."""
    budgets: Annotated[tuple[Budget, ...], Field(max_length=MAX_BUDGETS)] = ()
    """What transactions and operations may cost."""
    rules: Annotated[tuple[Rule, ...], Field(max_length=MAX_RULES), Distinct("name")] = ()
    """The rules."""
    route: Annotated[tuple[Route, ...], Field(max_length=MAX_ROUTES)] = ()
    """Which alerts go to whom."""
    maintenance: Annotated[tuple[Maintenance, ...], Field(max_length=MAX_WINDOWS)] = ()
    """Times in which alerts tell nobody."""

    @model_validator(mode="after")
    def _names_rules(self) -> Rules:
        named = {rule.name: rule.named_rules for rule in self.rules}
        if reserved := next((name for name in named if name.startswith(STANDING)), None):
            raise ValueError(f"{reserved!r}: names that begin with {STANDING!r} are clew's own")
        for name, others in named.items():
            for other in others:
                if other not in named:
                    raise ValueError(f"the rule {name!r} names {other!r}, which is no rule")
        if (cycle := _cycle(named)) is not None:
            raise ValueError(f"rules that rest on each other: {' → '.join(cycle)}")
        return self


class AlertsFile(Rules):
    """A file of --alerts: rules, routes and windows, and the receivers."""

    receivers: Annotated[dict[Name, Receiver], Field(max_length=MAX_RECEIVERS)] = Field(default={})
    """Who can be told, by name."""
    heartbeat: Heartbeat | None = None
    """Who is told again and again that alerts are judged."""

    @model_validator(mode="after")
    def _names_receivers(self) -> AlertsFile:
        for receiver in receiver_names(self):
            if receiver not in self.receivers:
                listed = ", ".join(sorted(self.receivers)) or "none yet"
                raise ValueError(f"{receiver!r} is not a receiver: {listed}")
        return self


def receiver_names(rules: Rules) -> Iterator[str]:
    """The receivers that rules, routes and defaults name."""
    yield from rules.defaults.receiver
    for rule in rules.rules:
        yield from rule.receiver
    for route in rules.route:
        yield from route.receiver


def _cycle(named: Mapping[str, tuple[str, ...]]) -> list[str] | None:
    """A path of rules that comes back to its first one; None if there is none."""
    complete: set[str] = set()

    def visit(name: str, path: list[str]) -> list[str] | None:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in complete:
            return None
        for other in named.get(name, ()):
            if (cycle := visit(other, [*path, name])) is not None:
                return cycle
        complete.add(name)
        return None

    for name in named:
        if (cycle := visit(name, [])) is not None:
            return cycle
    return None


def read(text: bytes, form: documents.Form = "yaml", source: str = "alerts") -> AlertsFile:
    """Reads a file's text. Raises DocumentError, in which `source` names the text."""
    return documents.read(text, form, AlertsFile, source)


def read_file(path: Path) -> AlertsFile:
    """Reads a YAML file, or a file that is named .json. Raises DocumentError."""
    return documents.read_file(path, AlertsFile)


def json_schema() -> dict[str, Any]:
    """The JSON schema of a file with rules, for editors."""
    schema = AlertsFile.model_json_schema(schema_generator=EditorSchema)
    return {"$schema": EditorSchema.schema_dialect} | schema
