"""What processes use, unlike their own past: `baseline` of a selection with a `metric`."""

from __future__ import annotations

from collections.abc import Iterator

from clew.analysis.alerts.rules import Rule
from clew.analysis.alerts.states import Known
from clew.analysis.alerts.verdicts import Verdict
from clew.analysis.watching.evidence import Evidence
from clew.analysis.watching.processes import SLOT, WINDOW, ProcessFinding
from clew.analysis.watching.proofs import process_proof
from clew.analysis.watching.series import Series
from clew.analysis.watching.texts import measure_text, time_text, value_text


def judge(rule: Rule, evidence: Evidence) -> Iterator[Verdict]:
    """A verdict for each series that uses more than ever, and for those that have an alert."""
    processes = evidence.processes
    if rule.select is None or processes is None:
        return
    reported = set()
    for one in evidence.process_findings(rule.sensitivity):
        series = processes.series[one.finding.series]
        if rule.select.matches(series.labels):
            reported.add(frozenset(series.labels.items()))
            yield _verdict(rule, series, one, evidence)
    places = {
        frozenset(series.labels.items()): place for place, series in enumerate(processes.series)
    }
    for labels in evidence.tracked(rule.name):
        key = frozenset(labels.items())
        if key in places and key not in reported:
            is_judged = processes.is_judged(places[key]) and evidence.is_received
            yield Verdict(
                rule.name, labels, evidence.at, False if is_judged else None,
                Known.KNOWN if is_judged else Known.LEARNING,
            )  # fmt: skip


def _verdict(rule: Rule, series: Series, one: ProcessFinding, evidence: Evidence) -> Verdict:
    finding = one.finding
    measure, end = finding.measure, evidence.at // SLOT * SLOT
    start = end - WINDOW
    facts, because = {}, ""
    if deployment := evidence.deployment(series, start):
        because = f", since version {deployment.version}"
        facts = {"version": deployment.version, "deployed": time_text(deployment.at)}
    subject = series.service
    if one.instance:
        subject += f", instance {one.instance}"
        facts |= {"instance": one.instance, "others": value_text(measure, one.others)}
        because = f", {value_text(measure, one.others)} in the others{because}"
    return Verdict(
        rule=rule.name,
        labels=series.labels,
        at=evidence.at,
        holds=True,
        headline=(
            f"{subject}: {measure_text(measure)} {value_text(measure, finding.value)}, "
            f"usually {value_text(measure, finding.expected)}{because}"
        ),
        measure=measure,
        value=finding.value,
        expected=finding.expected,
        lower=finding.lower,
        upper=finding.upper,
        z=finding.z,
        window=float(WINDOW),
        as_large=finding.as_large,
        past=finding.past,
        facts=facts,
        **process_proof(series, start, end),
    )
