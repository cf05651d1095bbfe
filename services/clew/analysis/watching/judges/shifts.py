"""Lasting shifts of latency, judged each hour: `regression: [p50, p95]`."""

from __future__ import annotations

from collections.abc import Iterator

from clew.analysis.alerts.rules import Rule
from clew.analysis.alerts.states import Known
from clew.analysis.alerts.verdicts import Verdict
from clew.analysis.detectors.findings import Finding
from clew.analysis.detectors.regressions import EFFECT
from clew.analysis.traces.times import HOUR
from clew.analysis.watching.evidence import Evidence, kinds_of
from clew.analysis.watching.proofs import hours_proof, versions_proof
from clew.analysis.watching.series import Series
from clew.analysis.watching.shifts import Shifted
from clew.analysis.watching.texts import measure_text, subject, time_text, value_text
from clew.analysis.watching.versions import VersionFinding


def judge(rule: Rule, evidence: Evidence) -> Iterator[Verdict]:
    """A verdict for each series that is slower, and for those that have an alert."""
    assert rule.select is not None
    shifted = evidence.shifted
    if shifted is None:
        return
    measures = frozenset({*rule.regression, *(["tail"] if "p95" in rule.regression else [])})
    reported: set[int] = set()
    for one in shifted.versions:
        finding = one.finding
        series = evidence.named(shifted.learned.series[finding.series])
        change = finding.value / max(finding.expected, 1e-12) - 1
        is_large = finding.measure == "error_rate" or change >= (rule.effect or EFFECT)
        is_news = finding.measure in measures and finding.series not in reported
        if is_news and is_large and _is_selected(rule, series):
            reported.add(finding.series)
            yield _version_verdict(rule, series, one, evidence)
    for finding in shifted.findings(rule.sensitivity, rule.effect or EFFECT, measures):
        series = evidence.named(shifted.learned.series[finding.series])
        if finding.series not in reported and _is_selected(rule, series):
            reported.add(finding.series)
            yield _verdict(rule, series, finding, shifted, evidence.at)
    for labels in evidence.tracked(rule.name):
        place = evidence.place(labels)
        if place is not None and place not in reported:
            is_judged = bool(shifted.learned.is_judged[place])
            yield Verdict(
                rule.name, labels, evidence.at, False if is_judged else None,
                Known.KNOWN if is_judged else Known.LEARNING,
            )  # fmt: skip


def _is_selected(rule: Rule, series: Series) -> bool:
    assert rule.select is not None
    return series.kind in kinds_of(rule.select) and rule.select.matches(series.labels)


def _version_verdict(
    rule: Rule, series: Series, compared: VersionFinding, evidence: Evidence
) -> Verdict:
    finding = compared.finding
    measure = finding.measure
    unit = 1.0 if measure in ("tail", "error_rate") else 1e9  # nanoseconds
    value, expected = finding.value / unit, finding.expected / unit
    return Verdict(
        rule=rule.name,
        labels=series.labels,
        at=evidence.at,
        holds=True,
        headline=(
            f"{subject(series)}: {measure_text(measure)} {value_text(measure, value)} in version "
            f"{compared.new}, {value_text(measure, expected)} in {compared.old} at the same time"
        ),
        measure=measure,
        value=value,
        expected=expected,
        lower=finding.lower / unit,
        upper=finding.upper / unit,
        requests=finding.requests,
        z=finding.z,
        window=compared.end - compared.start,
        facts={
            "since": time_text(compared.start),
            "version": compared.new,
            "compared with": f"{compared.old}: {compared.old_requests:.0f} requests",
        },
        **versions_proof(
            evidence.in_tables(series), compared.old, compared.new, compared.start, compared.end
        ),
    )


def _verdict(rule: Rule, series: Series, finding: Finding, shifted: Shifted, at: float) -> Verdict:
    measure = finding.measure
    unit = 1.0 if measure == "tail" else 1e9  # nanoseconds
    value, expected = finding.value / unit, finding.expected / unit
    change = value / expected - 1
    deployment = shifted.deployment(finding.series) if finding.deployment is not None else None
    because = f", since version {deployment.version}" if deployment is not None else ""
    facts = {
        "since": time_text(shifted.at(finding.change_point)),
        "change": f"{change * 100:+.0f} %",
    }
    if deployment is not None:
        facts |= {"version": deployment.version, "deployed": time_text(deployment.at)}
    return Verdict(
        rule=rule.name,
        labels=series.labels,
        at=at,
        holds=True,
        headline=(
            f"{subject(series)}: {measure_text(measure)} {value_text(measure, value)}, "
            f"{change * 100:+.0f} %{because}"
        ),
        measure=measure,
        value=value,
        expected=expected,
        lower=finding.lower / unit,
        upper=finding.upper / unit,
        requests=finding.requests,
        z=finding.z,
        window=float(finding.window * HOUR),
        as_large=finding.as_large,
        past=finding.past,
        facts=facts,
        **hours_proof(
            shifted.learned.series[finding.series],
            shifted.at(0),
            shifted.end - finding.window * HOUR,
            shifted.end,
        ),
    )
