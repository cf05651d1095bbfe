"""The evidence of a diagnosis: what differs between A and B, by service, each kind by itself.

Functions over rows of queries/diagnosis. The thresholds were chosen on public labelled faults
(docs/benchmarks.md); a strength has no unit, and each kind has its own scale (`causes.py`).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import NormalDist
from typing import Any, Literal

from clew.analysis.queries import (
    DiagnosisExceptionsRow,
    DiagnosisLogsRow,
    DiagnosisProcessRow,
    DiagnosisTimesRow,
    DiagnosisWaysRow,
)
from clew.analysis.texts import frame_place

EvidenceName = Literal["time", "structure", "logs", "process"]

MS = 1e6
MIN_TRACES, MIN_BASELINE_CALLS = 5, 20
Z = 3.0  # from which on a mean or a count differs, at least: see `least_z`
MAX_CHANCE = 0.05  # that anything of a kind of evidence differs so much by chance
LINKS_COUNT = 0.1  # of the hottest operation that the hottest link must have, or links are silent
OWN_BESIDE_LINKS = 0.5  # weight of a service's own time where links count
DISPERSION = 0.25  # counts of calls vary so much more than by chance
MAX_DEVIATION = 20.0
# An operation ran in so many traces with its service, and came for fewer than so many.
ALWAYS, REMAINING, MIN_EXPECTED = 0.99, 0.3, 6.0
EXPLAINED = 0.5  # weight of what a service called further down shows as well
# Where records of all services became so much rarer or more frequent, they were not received.
MIN_RECEIVED, MAX_RECEIVED = 1 / 3, 3.0
MIN_SPREAD = 0.02  # of a gauge, and of its median where that is above 1: less is noise of its own
# The share of its limit from which on a process is loaded. One that uses less counts for less,
# however idle it is otherwise.
LOADED, OF_LIMIT = 0.5, "limit"
PROCESS_DEVIATION = 3.0  # interquartile ranges above the median
ERRORS = ("error", "fatal")  # severities
# What a target without spans does counts as its caller's own time.
OUTSIDE = ("database", "external", "queue")


CallGraph = Mapping[str, Collection[str]]  # the services that each service calls


@dataclass
class Evidence:
    """One kind of evidence. `strengths` and `details` by service; the details' members are those of
    the API's models, the strongest first. `missing`: of operations that ran in every call of the
    service and no longer do, as sure a sign as a log record that is missing, and as strong.
    `explained`: a part of the strengths was taken off, of which the greatest would have been so
    strong. `calls`: of the strengths, what comes of calling more. `errors`: how many traces more
    than expected have a new error of the service. `targets`: the types of targets whose calls
    fail."""

    strengths: dict[str, float] = field(default_factory=dict)
    missing: dict[str, float] = field(default_factory=dict)
    calls: dict[str, float] = field(default_factory=dict)
    errors: dict[str, float] = field(default_factory=dict)
    targets: dict[str, str] = field(default_factory=dict)
    explained: float = 0.0
    details: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))

    def add(self, service: str, **detail: Any) -> None:
        self.details[service].append(detail)

    @property
    def strongest(self) -> float:
        """What strengths are measured by: what explains a change makes no other one stronger."""
        return max(self.explained, *self.strengths.values(), 0.0)


def least_z(tests: int) -> float:
    """The z from which on one of so many tests says something: so large a one comes by chance, in
    any of them, in MAX_CHANCE of all cases (Bonferroni), if their values are normal."""
    return max(Z, NormalDist().inv_cdf(1 - MAX_CHANCE / max(tests, 1)))


@dataclass(frozen=True)
class TimeChange:
    """How the time of an operation or a link changed. `z`: the difference of the means per call in
    their standard errors; `usual_z`: in those that the traces of B alone let expect, and `least`,
    from which on that counts; `extra`: nanoseconds more in each trace of A.

    A few outliers of A make `usual_z` large and `z` small; of many operations some have a large
    `z`. Where some of the calls take far longer, `z` is small because A is spread."""

    row: DiagnosisTimesRow
    z: float
    usual_z: float
    a_mean: float
    b_mean: float
    extra: float
    least: float = Z

    @property
    def is_hot(self) -> bool:
        return self.z > Z and self.usual_z > self.least and self.extra > 0


def time_changes(rows: Iterable[DiagnosisTimesRow], traces: int) -> list[TimeChange]:
    """The operations and links with enough calls in both sets; `traces` of A."""
    changes = []
    for row in rows:
        a, b = row["a"], row["b"]
        if a[0] < MIN_TRACES or b[1] < MIN_BASELINE_CALLS:
            continue
        a_mean, b_mean = a[2] / a[1], b[2] / b[1]
        difference, of_b = a_mean - b_mean, _variance(b) + 1e-9
        z = difference / math.sqrt(_variance(a) + of_b)
        usual_z = difference / math.sqrt(of_b * (1 + b[1] / a[1]))
        extra = difference * a[1] / traces
        changes.append(TimeChange(row, z, usual_z, a_mean, b_mean, extra))
    least = least_z(len(changes))
    return [replace(change, least=least) for change in changes]


def _variance(sums: Sequence[float]) -> float:
    """The variance of a mean per call, over traces: calls of one trace are not independent."""
    traces, calls, time, squares, square_calls, products = sums[:6]
    mean = time / calls
    deviation = max(0.0, squares - 2 * mean * products + mean * mean * square_calls)
    return deviation / (calls * calls) * traces / max(1.0, traces - 1)


def time_evidence(changes: Sequence[TimeChange], more: Iterable[MoreCalls] = ()) -> Evidence:
    """A service's own time, and the time of the links that it has a part in. A link accuses both
    ends, each by the share of its links that are hot: the end with the fault has many of them.
    Beside it the time that a service takes because it calls `more`."""
    evidence = Evidence()
    self_times: defaultdict[str, float] = defaultdict(float)
    links: defaultdict[str, float] = defaultdict(float)
    hot: defaultdict[str, int] = defaultdict(int)
    known: defaultdict[str, int] = defaultdict(int)
    hottest = {"own": 0.0, "link": 0.0}
    for change in sorted(changes, key=lambda change: -change.extra):
        row = change.row
        is_link = row["type"] == "service"
        ends = (row["service"], row["target"]) if is_link else (row["service"],)
        for service in ends if is_link else ():
            known[service] += 1
        if not change.is_hot or row["type"] == "consumed":
            continue
        hottest["link" if is_link else "own"] = max(
            hottest["link" if is_link else "own"], change.extra
        )
        for service in ends:
            (links if is_link else self_times)[service] += change.extra
            hot[service] += is_link
            evidence.add(service, **_time_detail(change))
    do_links_count = hottest["link"] > 0 and hottest["link"] >= LINKS_COUNT * hottest["own"]
    for service in {*self_times, *links} if do_links_count else self_times:
        strength = self_times[service]
        if do_links_count:
            link = links[service] * hot[service] / max(1, known[service])
            strength = max(link, OWN_BESIDE_LINKS * self_times[service])
        evidence.strengths[service] = strength
    for calls in more:
        service = calls.row["service"]
        before = evidence.strengths.get(service, 0.0)
        strength = calls.extra * calls.weight
        evidence.strengths[service] = before + strength
        evidence.calls[service] = evidence.calls.get(service, 0.0) + strength
        evidence.explained = max(evidence.explained, before + calls.extra)
        evidence.add(service, **_more_detail(calls))
    return evidence


def _time_detail(change: TimeChange) -> dict[str, Any]:
    row = change.row
    return {
        "operation": row["operation"],
        "target": row["target"],
        "type": row["type"] or "own",
        "calls": int(row["a"][1]),
        "ms": change.a_mean / MS,
        "baseline_ms": change.b_mean / MS,
        "extra_ms": change.extra / MS,
        "z": change.z,
    }


@dataclass(frozen=True)
class MoreCalls:
    """The time that a service takes because it calls others more often, or one after the other, or
    runs an operation more often: `extra` nanoseconds in each trace of A. `row`: of the operation,
    or of all calls of other services. `weight`: less where what it calls explains it."""

    row: DiagnosisWaysRow
    z: float
    extra: float
    weight: float = 1.0


def more_calls(rows: Sequence[DiagnosisWaysRow], traces: int) -> list[MoreCalls]:
    """Where services take longer by what they call, and not because that takes longer; `traces` of
    A."""
    least = least_z(len(rows))
    changes = []
    for row in rows:
        if row["is_total"]:
            z = row["more"] / math.sqrt(row["more_variance"] + 1e-9)
        else:
            z = _deviation(row["came"], row["expected"], row["variance"])
        if z > least and row["more"] > 0 and row["baseline_calls"] >= MIN_BASELINE_CALLS:
            changes.append(MoreCalls(row, z, row["more"] / traces))
    return changes


def explained_calls(
    more: Iterable[MoreCalls], logs: Evidence, callees: CallGraph
) -> list[MoreCalls]:
    """The deeper service wins: a service calls more where what it calls does otherwise."""
    strong = {
        service
        for service, strength in logs.strengths.items()
        if strength >= EXPLAINED * logs.strongest
    }
    return [
        replace(calls, weight=EXPLAINED)
        if strong.intersection(callees.get(calls.row["service"], ()))
        else calls
        for calls in more
    ]


def _more_detail(calls: MoreCalls) -> dict[str, Any]:
    row = calls.row
    return {
        "operation": row["entry"] if row["is_total"] else row["operation"],
        "target": "",
        "type": "calls",
        "calls": round(row["calls"] if row["is_total"] else row["came"]),
        "ms": row["time"] / MS,
        "baseline_ms": row["usual"] / MS,
        "extra_ms": calls.extra / MS,
        "z": calls.z,
    }


def structure_evidence(
    rows: Iterable[DiagnosisWaysRow], times: Iterable[DiagnosisTimesRow], callees: CallGraph
) -> Evidence:
    """How often a service runs its operations and calls others, per call of it."""
    evidence = Evidence()
    for row in rows:
        if row["is_total"]:
            continue
        z = _deviation(row["came"], row["expected"], row["variance"])
        if abs(z) > Z and row["baseline_calls"] >= MIN_BASELINE_CALLS:
            _add_count(
                evidence, row["service"], row["operation"], "", row["came"], row["expected"], z
            )
        always_ran = (row["baseline_share"] or 0.0) >= ALWAYS
        if (
            always_ran
            and row["expected"] >= MIN_EXPECTED
            and row["came"] < REMAINING * row["expected"]
        ):
            weight = math.log1p(row["expected"] - row["came"])
            evidence.missing[row["service"]] = max(evidence.missing.get(row["service"], 0), weight)
            if abs(z) <= Z:
                _add_count(
                    evidence, row["service"], row["operation"], "", row["came"], row["expected"], z
                )
    for service, target, type_, came, expected in _failures(times):
        z = _deviation(came, expected, 0.0)
        if z > Z and came >= MIN_TRACES:
            evidence.targets[target] = type_
            _add_count(evidence, service, "", target, came, expected, z)
    for details in evidence.details.values():
        details.sort(key=lambda detail: -abs(detail["z"]))
    return explained_away(evidence, callees)


def _add_count(
    evidence: Evidence,
    service: str,
    operation: str,
    target: str,
    came: float,
    expected: float,
    z: float,
) -> None:
    strength = min(abs(z), MAX_DEVIATION)
    evidence.strengths[service] = max(evidence.strengths.get(service, 0.0), strength)
    evidence.add(
        service,
        operation=operation,
        target=target,
        what="failed calls" if target else "calls",
        came=came,
        expected=expected,
        z=z,
    )


def _deviation(came: float, expected: float, variance: float) -> float:
    """A Poisson count's deviation, with overdispersion and the baseline's own variance."""
    return (came - expected) / math.sqrt(
        max(expected, 0.5) + variance + (DISPERSION * expected) ** 2
    )


def _small_deviation(came: float, expected: float, share: float) -> float:
    """The same of a count that may be small: of few, many more come by chance than a normal
    distribution lets expect, so that roots are compared (Anscombe). What is expected is the
    `share` of a count, which varies by chance too."""
    difference = 2 * (math.sqrt(came + 3 / 8) - math.sqrt(expected + 3 / 8))
    return difference / math.sqrt(1 + share + DISPERSION**2 * expected)


def _failures(times: Iterable[DiagnosisTimesRow]) -> list[tuple[str, str, str, float, float]]:
    """Failed calls out of a service to what has no spans: source, target, type, came, expected."""
    sums: defaultdict[tuple[str, str, str], list[float]] = defaultdict(lambda: [0.0] * 4)
    for row in times:
        if row["type"] in OUTSIDE:
            total = sums[row["service"], row["target"], row["type"]]
            for place, (sums_of_set, column) in enumerate(
                ((row["a"], 1), (row["a"], 6), (row["b"], 1), (row["b"], 6))
            ):
                total[place] += sums_of_set[column]
    return [
        (service, target, type_, failed, before_failed / before * calls)
        for (service, target, type_), (calls, failed, before, before_failed) in sums.items()
        if before >= MIN_BASELINE_CALLS
    ]


def handed_up(evidences: Mapping[EvidenceName, Evidence], graph: CallGraph) -> CallGraph:
    """Of services of which all that is otherwise (log records, calls) may come of errors that a
    service further down began: these. Each change is in no more than twice as many traces as the
    errors are, and neither of two services that call each other is further down."""
    errors = evidences["logs"].errors
    below = {service: _reached(service, graph) for service in graph}
    began: dict[str, set[str]] = {}
    for service, callees in below.items():
        changes = [
            abs(change["came"] - change["expected"])
            for name in ("structure", "logs")
            for change in evidences[name].details.get(service, ())
        ]
        began[service] = {
            callee
            for callee in callees.intersection(errors)
            if changes
            and service not in below.get(callee, ())
            and errors[callee] >= EXPLAINED * max(changes)
        }
    return {service: callees for service, callees in began.items() if callees}


def _reached(service: str, graph: CallGraph) -> set[str]:
    """The services that a service calls, and those that they call."""
    reached: set[str] = set()
    waiting = list(graph.get(service, ()))
    while waiting:
        callee = waiting.pop()
        if callee not in reached:
            reached.add(callee)
            waiting.extend(graph.get(callee, ()))
    return reached - {service}


def call_graph(rows: Iterable[DiagnosisTimesRow]) -> CallGraph:
    """Which services each service calls."""
    callees: defaultdict[str, set[str]] = defaultdict(set)
    for row in rows:
        if row["type"] == "service" and row["service"] != row["target"]:
            callees[row["service"]].add(row["target"])
    return callees


def explained_away(evidence: Evidence, callees: CallGraph) -> Evidence:
    """The deeper service wins: what a service does otherwise is less of a sign where a service that
    it calls does as well."""
    for strengths in (evidence.strengths, evidence.missing):
        before = dict(strengths)
        for service, strength in before.items():
            below = (before.get(callee, 0.0) for callee in callees.get(service, ()))
            if max(below, default=0.0) >= 0.5 * strength:
                strengths[service] = EXPLAINED * strength
    return evidence


def logs_evidence(
    logs: Iterable[DiagnosisLogsRow],
    exceptions: Sequence[DiagnosisExceptionsRow],
    share: float,
    sampled_share: float,
    callees: CallGraph,
) -> Evidence:
    """Kinds of log records and exceptions that are new or did not come. A line that always came and
    is missing names the place in the code: it is put before those that are new.

    `share`: the traces of A by those of B; `sampled_share`: of the samples that the log records are
    of."""
    evidence = Evidence()
    for row in logs:
        received = (row["share"] or 0.0) / sampled_share
        is_missing = row["came"] < row["expected"]
        is_better = is_missing and row["severity"] in ERRORS
        z = (row["came"] - row["expected"]) / math.sqrt(row["variance"])
        is_chance = abs(z) < least_z(row["tested"])
        if MIN_RECEIVED < received < MAX_RECEIVED and not is_better and not is_chance:
            record = {
                "kind": "record",
                "change": "missing" if is_missing else "new",
                "place": row["place"],
                "severity": row["severity"],
                "text": row["body"],
                "example": row["example"],
                "span_id": "",
            }
            _add_place(evidence, row["service"], row["came"], row["expected"], record)
    least = least_z(len(exceptions))
    for exception in exceptions:
        expected = exception["baseline"] * share
        z = _small_deviation(exception["came"], expected, share)
        if z > least and exception["came"] > 2 * expected:
            record = {
                "kind": "exception",
                "change": "new",
                "place": frame_place(exception["frame"]),
                "severity": "error",
                "text": f"{exception['type']}: {exception['message']}",
                "example": exception["example"][0],
                "span_id": exception["example"][1],
            }
            _add_place(evidence, exception["service"], exception["came"], expected, record)
    for details in evidence.details.values():
        # A tenth more records that are new do not come before one that is missing.
        details.sort(
            key=lambda detail: -detail["weight"] * (1.1 if detail["change"] == "missing" else 1)
        )
    return explained_away(evidence, callees)


def _add_place(
    evidence: Evidence, service: str, came: float, expected: float, place: Mapping[str, Any]
) -> None:
    weight = math.log1p(abs(came - expected))
    evidence.strengths[service] = max(evidence.strengths.get(service, 0.0), weight)
    evidence.add(service, came=came, expected=expected, weight=weight, **place)
    if place["change"] == "new" and place["severity"] in ERRORS:
        evidence.errors[service] = max(evidence.errors.get(service, 0.0), came - expected)


def process_evidence(rows: Iterable[DiagnosisProcessRow]) -> Evidence:
    """Gauges of a process that were far higher than they usually are."""
    evidence = Evidence()
    for row in rows:
        median, highest = row["median"] or 0.0, row["highest"] or 0.0
        quartiles = (row["high"] or 0.0) - (row["low"] or 0.0)
        spread = max(quartiles, MIN_SPREAD * max(1.0, median))
        deviation = (highest - median) / spread
        if deviation > PROCESS_DEVIATION:
            service = row["service"]
            load = min(1.0, highest / LOADED) if OF_LIMIT in row["metric"] else 1.0
            strength = load * deviation
            evidence.strengths[service] = max(evidence.strengths.get(service, 0.0), strength)
            evidence.add(
                service,
                metric=row["metric"],
                instance=row["instance"],
                instance_name=row["name"],
                unit=row["unit"],
                highest=highest,
                usual=median,
                deviation=deviation,
            )
    for details in evidence.details.values():
        details.sort(key=lambda detail: -detail["deviation"])
    return evidence
