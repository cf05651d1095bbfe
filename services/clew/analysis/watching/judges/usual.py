"""What is unlike the series' own past in the last minutes: `baseline: [rate, error_rate, p95]`.

Failed requests, requests slower than the hour's usual p90, value lost and traffic, each by tests of
clew.analysis.detectors.spikes. A quantile in the rule asks for slow requests: a quantile of a
minute is noise.
"""

from __future__ import annotations

from collections.abc import Iterator

from clew.analysis.alerts.rules import STANDING, Rule
from clew.analysis.alerts.states import Known
from clew.analysis.alerts.verdicts import Verdict
from clew.analysis.detectors.findings import Finding
from clew.analysis.watching.evidence import Evidence, kinds_of
from clew.analysis.watching.judges import processes
from clew.analysis.watching.learned import Learned
from clew.analysis.watching.proofs import minutes_proof
from clew.analysis.watching.series import MINUTE, Series
from clew.analysis.watching.texts import (
    duration_text,
    measure_text,
    subject,
    time_text,
    value_text,
)
from clew.analysis.watching.values import ValueFinding

MEASURES = {"rate": "rate", "error_rate": "error_rate", "p50": "slow_rate", "p75": "slow_rate",
            "p95": "slow_rate", "value_lost": "value_lost"}  # fmt: skip


def judge(rule: Rule, evidence: Evidence) -> Iterator[Verdict]:
    """A verdict for each series and measure with a finding, and for those that have an alert."""
    assert rule.select is not None
    if rule.select.metric is not None:
        yield from processes.judge(rule, evidence)
    if evidence.usual is None or rule.select.metric is not None:
        return
    learned = evidence.usual.learned
    measures = {MEASURES[measure] for measure in rule.baseline if measure in MEASURES}
    reported: set[tuple[int, str]] = set()
    for finding in evidence.usual.findings(rule.sensitivity):
        series = evidence.named(learned.series[finding.series])
        if finding.measure in measures and _is_selected(rule, series, learned, finding.series):
            reported.add((finding.series, finding.measure))
            yield _verdict(rule, series, finding, evidence)
    for one in evidence.value_findings if "slow_rate" in measures else ():
        series = evidence.named(learned.series[one.place])
        is_new = (one.place, "slow_rate") not in reported
        if is_new and _is_selected(rule, series, learned, one.place):
            reported.add((one.place, "slow_rate"))
            yield _value_verdict(rule, series, one, evidence)
    for labels in evidence.tracked(rule.name):
        place = evidence.place(labels)
        if place is not None and (place, labels.get("measure", "")) not in reported:
            is_judged = bool(learned.is_judged[place]) and evidence.is_received
            yield Verdict(
                rule.name, labels, evidence.at, False if is_judged else None,
                Known.KNOWN if is_judged else Known.LEARNING,
            )  # fmt: skip


def _value_verdict(rule: Rule, series: Series, one: ValueFinding, evidence: Evidence) -> Verdict:
    assert evidence.usual is not None
    at, learned, measure = evidence.at, evidence.usual.learned, "slow_rate"
    slow = float(learned.slow_limits(at - MINUTE)[one.place])
    start = at - one.window * MINUTE
    return Verdict(
        rule=rule.name,
        labels=series.labels | {"measure": measure},
        at=at,
        holds=True,
        headline=(
            f"{subject(series)}: {measure_text(measure)} {value_text(measure, one.share)} with "
            f"{one.key} {one.value}, usually {value_text(measure, one.usual)}"
        ),
        measure=measure,
        value=one.share,
        expected=one.usual,
        requests=one.requests,
        window=float(one.window * MINUTE),
        facts={
            "attribute": f"{one.key} = {one.value}",
            "others": f"{value_text(measure, one.others)} slow",
            "slow from": duration_text(slow / 1e9),
        },
        **minutes_proof(learned.series[one.place], start, at, slow, (one.key, one.value)),
    )


def _is_selected(rule: Rule, series: Series, learned: Learned, place: int) -> bool:
    assert rule.select is not None
    return (
        series.kind in kinds_of(rule.select)
        and rule.select.matches(series.labels)
        and float(learned.requests[place]) >= rule.min_requests
        and not (rule.name.startswith(STANDING) and learned.is_twin[place])
    )


def _verdict(rule: Rule, series: Series, finding: Finding, evidence: Evidence) -> Verdict:
    assert evidence.usual is not None
    at, learned = evidence.at, evidence.usual.learned
    start = at - finding.window * MINUTE
    slow = float(learned.slow_limits(at - MINUTE)[finding.series])
    unit = MINUTE if finding.measure == "rate" else 1
    value, expected = finding.value / unit, finding.expected / unit
    measure = finding.measure
    lasts = finding.time - finding.change_point + 1  # minutes
    facts = {"for": f"{lasts} min"}
    if measure == "slow_rate":
        facts["slow from"] = duration_text(slow / 1e9)
    because = ""
    if deployment := evidence.deployment(series, at - lasts * MINUTE):
        because = f", since version {deployment.version}"
        facts |= {"version": deployment.version, "deployed": time_text(deployment.at)}
    return Verdict(
        rule=rule.name,
        labels=series.labels | {"measure": measure},
        at=at,
        holds=True,
        headline=(
            f"{subject(series)}: {measure_text(measure)} {value_text(measure, value)}, "
            f"usually {value_text(measure, expected)}{because}"
        ),
        measure=measure,
        value=value,
        expected=expected,
        lower=finding.lower / unit,
        upper=finding.upper / unit,
        requests=finding.requests,
        z=finding.z,
        window=float(finding.window * MINUTE),
        as_large=finding.as_large,
        past=finding.past,
        facts=facts,
        **minutes_proof(learned.series[finding.series], start, at, slow),
    )
