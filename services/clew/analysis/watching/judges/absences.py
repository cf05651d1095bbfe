"""Nothing came: `absent: 2h`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from clew.analysis.alerts.quantities import format_duration
from clew.analysis.alerts.rules import Rule, Select
from clew.analysis.alerts.states import Known
from clew.analysis.alerts.verdicts import Verdict
from clew.analysis.watching.evidence import Evidence, kinds_of
from clew.analysis.watching.proofs import absence_proof, minutes_proof
from clew.analysis.watching.series import MINUTE


def judge(rule: Rule, evidence: Evidence) -> Iterator[Verdict]:
    """A verdict for each series that was seen and matches. A rule that names what was never seen
    holds too, once clew has watched for as long: a service that never came up is absent."""
    assert rule.select is not None
    assert rule.absent is not None
    matching = [
        (series, seen)
        for series, seen in evidence.last_seen.items()
        if series.kind in kinds_of(rule.select) and rule.select.matches(series.labels)
    ]
    for series, seen in matching:
        verdict = _verdict(rule, series.labels, seen, evidence)
        begin = evidence.at - (verdict.value or 0.0) + MINUTE
        proof = minutes_proof(evidence.in_tables(series), begin, evidence.at)
        yield replace(verdict, **proof)
    if not matching and (labels := exact_labels(rule.select)):
        verdict = _verdict(rule, labels, None, evidence)
        begin = evidence.at - (verdict.value or 0.0)
        proof = absence_proof(rule.select, evidence.definitions, begin, evidence.at)
        yield replace(verdict, **proof)


def _verdict(
    rule: Rule, labels: Mapping[str, str], seen: float | None, evidence: Evidence
) -> Verdict:
    assert rule.absent is not None
    # Of the time before clew watched, it cannot say that nothing came.
    since = max(seen or 0.0, evidence.since)
    silent = max(0.0, evidence.at - since)
    is_known = silent < rule.absent or evidence.is_received
    name = " ".join(labels.get(part, "") for part in ("service", "operation")).strip()
    return Verdict(
        rule=rule.name,
        labels=labels,
        at=evidence.at,
        holds=silent >= rule.absent if is_known else None,
        known=Known.KNOWN if is_known else Known.LATE,
        headline=f"{name or rule.name}: nothing for {format_duration(silent // 60 * 60)}",
        measure="absent",
        value=silent,
        expected=rule.absent,
        window=rule.absent,
        facts={} if seen else {"last seen": "never"},
    )


def exact_labels(select: Select) -> dict[str, str]:
    """The labels of the one series that a selection names; none if it has a `*`."""
    labels: dict[str, str] = select.model_dump(exclude_none=True)
    return {} if any("*" in text for text in labels.values()) else labels
