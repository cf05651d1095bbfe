"""Thresholds, ratios, absences and error budgets over all minutes of a window."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from clew.analysis.alerts.quantities import OPERATORS
from clew.analysis.alerts.rules import RatioPart, Rule
from clew.analysis.alerts.states import Known
from clew.analysis.baselines import Floats
from clew.analysis.watching.budgets import spendings
from clew.analysis.watching.judges.absences import exact_labels
from clew.analysis.watching.judges.budgets import budget_window
from clew.analysis.watching.judges.burn import PAGE, TICKET
from clew.analysis.watching.replay.past import MAX_SERIES, MAX_SLOTS, QUANTILES, Counts, Past
from clew.analysis.watching.replay.tracks import NO, UNKNOWN, YES, Track, judged
from clew.analysis.watching.series import MINUTE, Series

MAX_WINDOWS = 14  # of a budget
MAX_BUDGETS = 5  # series of a budget: each takes a statement for each measure and window


def replay_threshold(rule: Rule, past: Past) -> Iterator[Track]:
    """`when: p95 > 800ms`. Quantiles are looked at once in each window, all else every minute."""
    assert rule.select is not None
    assert rule.when is not None
    window = max(1, round(rule.over / MINUTE))
    measure, compare = rule.when.measure, OPERATORS[rule.when.comparison]
    limit = MAX_SLOTS // (past.minutes // window + 1) if measure in QUANTILES else MAX_SERIES
    series = past.select(rule.select, min(limit, MAX_SERIES))
    if measure in QUANTILES and series:
        slots, _ = past.levels(series, window * MINUTE)
        quantile = slots[..., QUANTILES.index(measure)] / 1e9
    for place, (one, counts) in enumerate(zip(series, past.counts(series), strict=True)):
        requests, failed = sliding(counts.count, window), sliding(counts.errors, window)
        if measure in QUANTILES:
            # The window that ended last counts, as it does for the minutes after it.
            ended = (np.arange(past.minutes) + 1) // window - 1
            values = np.where(ended >= 0, quantile[place, np.maximum(ended, 0)], np.nan)
        elif measure == "error_rate":
            values = np.where(requests > 0, failed / np.maximum(requests, 1), np.nan)
        elif measure == "value_lost":
            values = sliding(counts.value_lost, window)
        else:
            values = np.where(np.cumsum(counts.count) > 0, requests / (window * MINUTE), np.nan)
        is_known = np.isfinite(values) & (requests >= rule.min_requests)
        condition = compare(np.nan_to_num(values), rule.when.limit)  # type: ignore[arg-type]
        holds = judged(np.asarray(condition) & (failed >= rule.min_events), is_known)
        yield Track(
            past.labels(one), measure, holds, values, np.full(past.minutes, rule.when.limit)
        )


def replay_ratio(rule: Rule, past: Past) -> Iterator[Track]:
    """`ratio: {part: …, total: …}`, `when: value > 0.05`."""
    assert rule.ratio is not None
    assert rule.when is not None
    window = max(1, round(rule.over / MINUTE))
    part, total = (_sum(side, window, past) for side in (rule.ratio.part, rule.ratio.total))
    values = np.where(total > 0, part / np.where(total > 0, total, 1), np.nan)
    is_known = (total > 0) & (total >= rule.min_requests)
    condition = OPERATORS[rule.when.comparison](np.nan_to_num(values), rule.when.limit)  # type: ignore[arg-type]
    limit = np.full(past.minutes, rule.when.limit)
    yield Track({}, "value", judged(np.asarray(condition), is_known), values, limit)


def replay_absence(rule: Rule, past: Past) -> Iterator[Track]:
    """`absent: 2h`. Silence counts from the window's begin on."""
    assert rule.select is not None
    assert rule.absent is not None
    series = past.select(rule.select)
    minutes = np.arange(past.minutes)
    since = int(past.is_received.argmax())  # before, nothing was stored at all
    silences = [
        (past.labels(one), np.maximum.accumulate(np.where(counts.count > 0, minutes, since)))
        for one, counts in zip(series, past.counts(series), strict=True)
    ]
    if not series and (labels := exact_labels(rule.select)):
        silences = [(labels, np.full(past.minutes, since))]
    for labels, last in silences:
        silent = np.maximum(minutes - last, 0) * float(MINUTE)
        is_known = (silent < rule.absent) | past.is_received
        holds = judged(silent >= rule.absent, is_known)
        yield Track(labels, "absent", holds, silent, np.full(past.minutes, rule.absent), Known.LATE)


def replay_burn(rule: Rule, past: Past) -> Iterator[Track]:
    """`slo: Checkout`: every window that the severity has."""
    definition = next((d for d in past.definitions if rule.slo in (d.name, d.id)), None)
    if definition is None or definition.slo is None:
        return
    budget = 1 - definition.slo.objective
    windows = PAGE if rule.severity == "page" else (*PAGE, *TICKET)
    for environment, (total, bad) in past.burned(definition).items():
        best = np.full(past.minutes, -1.0)
        values, expected = np.zeros(past.minutes), np.zeros(past.minutes)
        for window in windows:
            rates = [
                sliding(bad, length // MINUTE)
                / np.maximum(sliding(total, length // MINUTE), 1)
                / budget
                for length in (window.long, window.short)
            ]
            ratio = np.minimum(*rates) / window.rate
            ratio[sliding(bad, window.long // MINUTE) < rule.min_events] = 0
            is_worst = ratio > best
            best = np.where(is_worst, ratio, best)
            values = np.where(is_worst, rates[0], values)
            expected = np.where(is_worst, window.rate, expected)
        holds = np.where(np.cumsum(total) > 0, np.where(best >= 1, YES, NO), UNKNOWN)
        labels = {"transaction": definition.name, "environment": environment}
        yield Track(labels, "burn_rate", holds, values, expected)


def replay_budget(rule: Rule, past: Past) -> Iterator[Track]:
    """`budget: {p95: 800ms, calls: 20}`, looked at once in each window."""
    assert rule.select is not None
    assert rule.budget is not None
    length = max(budget_window(rule), (past.end - past.start) / MAX_WINDOWS)
    ended = np.maximum((np.arange(past.minutes) + 1) * MINUTE // length - 1, -1).astype(np.int64)
    windows = int((past.end - past.start) // length)
    values: dict[tuple[Series, str], Floats] = {}
    limits = rule.budget.listed
    for window in range(windows):
        part = past.part(past.start + window * length, past.start + (window + 1) * length)
        for one in spendings(rule.budget, rule.select, part, MAX_BUDGETS):
            track = values.setdefault((one.series, one.measure), np.full(windows, np.nan))
            track[window] = one.value
    for (series, measure), by_window in values.items():
        value = np.where(ended >= 0, by_window[ended], np.nan)
        holds = judged(np.nan_to_num(value) > limits[measure], np.isfinite(value))
        expected = np.full(past.minutes, limits[measure])
        yield Track(series.labels | {"measure": measure}, measure, holds, value, expected)


def sliding(values: Floats, window: int) -> Floats:
    """The sums [minutes] of so many minutes up to and including each one."""
    total = np.concatenate([np.zeros(1), np.cumsum(values)])
    ends = np.arange(1, len(values) + 1)
    sums: Floats = total[ends] - total[np.maximum(ends - window, 0)]
    return sums


def _sum(part: RatioPart, window: int, past: Past) -> Floats:
    counts: list[Counts] = past.counts(past.select(part.select))
    total = sum((getattr(one, part.measure) for one in counts), np.zeros(past.minutes))
    return sliding(total, window)
