"""A measure compared with a limit: `when: p95 > 800ms`."""

from __future__ import annotations

from collections.abc import Iterator

from clew.analysis.alerts.rules import Rule
from clew.analysis.alerts.states import Known
from clew.analysis.alerts.verdicts import Verdict
from clew.analysis.watching.evidence import Evidence, kinds_of, whole_minutes
from clew.analysis.watching.proofs import minutes_proof
from clew.analysis.watching.series import NO_LEVELS, Slot
from clew.analysis.watching.texts import measure_text, subject, value_text

QUANTILES = {"p50": 0.5, "p75": 0.75, "p95": 0.95}


def judge(rule: Rule, evidence: Evidence) -> Iterator[Verdict]:
    """A verdict for each series with requests in the window, and for those that once had some: of
    them the rate is 0, and nothing else is known."""
    assert rule.select is not None
    assert rule.when is not None
    slots = evidence.selected(rule.select, rule.over)
    for slot in slots:
        yield _verdict(rule, slot, evidence)
    present = {slot.series for slot in slots}
    for series, seen in evidence.last_seen.items():
        if (
            series not in present
            and series.kind in kinds_of(rule.select)
            and rule.select.matches(series.labels)
            and seen < evidence.at
        ):
            if rule.when.measure == "rate":
                empty = Slot(series, int(evidence.at - rule.over), 0, 0, NO_LEVELS)
                yield _verdict(rule, empty, evidence)
            else:
                yield Verdict(
                    rule.name, series.labels, evidence.at, None, Known.NO_DATA,
                    f"{subject(series)}: no requests", rule.when.measure, window=rule.over,
                )  # fmt: skip


def _verdict(rule: Rule, slot: Slot, evidence: Evidence) -> Verdict:
    at = evidence.at
    condition = rule.when
    assert condition is not None
    measure = condition.measure
    value = measured(slot, measure, whole_minutes(rule.over))
    holds = condition.holds(value) if slot.count >= rule.min_requests else None
    if holds and slot.errors < rule.min_events:
        holds = False
    return Verdict(
        rule=rule.name,
        labels=slot.series.labels,
        at=at,
        holds=holds,
        known=Known.NO_DATA if holds is None else Known.KNOWN,
        headline=(
            f"{subject(slot.series)}: {measure_text(measure)} {value_text(measure, value)}, "
            f"limit {value_text(measure, condition.limit)}"
        ),
        measure=measure,
        value=value,
        expected=condition.limit,
        requests=slot.count,
        window=rule.over,
        **minutes_proof(evidence.in_tables(slot.series), at - whole_minutes(rule.over), at),
    )


def measured(slot: Slot, measure: str, seconds: float) -> float:
    """The value of a measure in a slot of so many seconds."""
    if measure in QUANTILES:
        return slot.quantile(QUANTILES[measure])
    if measure == "error_rate":
        return slot.errors / max(slot.count, 1)
    return slot.value_lost if measure == "value_lost" else slot.count / seconds
