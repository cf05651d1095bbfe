"""Baselines and regressions over all minutes of a window, by what is learned of the last weeks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from clew.analysis import baselines
from clew.analysis.alerts.rules import STANDING, Rule
from clew.analysis.alerts.states import Known
from clew.analysis.baselines import Floats, Ints
from clew.analysis.detectors import levels, regressions, spikes
from clew.analysis.traces.times import HOUR
from clew.analysis.watching import learned as learning
from clew.analysis.watching.deployments import Deployment, read_deployments
from clew.analysis.watching.judges.usual import MEASURES
from clew.analysis.watching.learned import Learned
from clew.analysis.watching.processes import SLOT, learn_processes
from clew.analysis.watching.replay.past import Past
from clew.analysis.watching.replay.tracks import NO, UNKNOWN, YES, Holds, Track, judged
from clew.analysis.watching.series import MINUTE, Series

BATCH = 10  # series that are judged at a time
SLOW_STEP = 5  # minutes


@dataclass(frozen=True)
class _Scored:
    """Scores [series, minutes, windows] and what they are of, [series, minutes]. `value_unit`
    [series]: of value lost, the value of a count."""

    seen: spikes.Minutes
    scores: Floats
    windows: Sequence[int]
    value_unit: Floats | None = None


def replay_baseline(rule: Rule, past: Past) -> Iterator[Track]:
    """`baseline: [rate, error_rate, p95]`: the minute tests."""
    assert rule.select is not None
    series = past.select(rule.select)
    if rule.select.metric is not None:
        yield from _processes(rule, past, series)
        return
    for start in range(0, len(series), BATCH):
        batch = series[start : start + BATCH]
        histories = past.histories(batch)
        if histories:
            yield from _unusual(rule, past, learning.learn(histories, past.zone))


def _unusual(rule: Rule, past: Past, learned: Learned) -> Iterator[Track]:
    measures = {MEASURES[measure] for measure in rule.baseline if measure in MEASURES}
    for measure in sorted(measures):
        scored = _scores(rule, past, learned, measure)
        unit = MINUTE if measure == "rate" else 1
        for place, series in enumerate(learned.series):
            if rule.name.startswith(STANDING) and learned.is_twin[place]:
                continue
            if measure == "value_lost" and place not in learned.valued:
                continue
            is_judged = bool(learned.is_judged[place])
            is_judged &= float(learned.requests[place]) >= rule.min_requests
            holds, values, expected = _judged(scored, place)
            yield Track(
                past.labels(series) | {"measure": measure},
                measure,
                np.where(is_judged, holds, UNKNOWN),
                values / unit,
                expected / unit,
                Known.LEARNING,
            )


def _processes(rule: Rule, past: Past, series: Sequence[Series]) -> Iterator[Track]:
    """What processes use: what a slot of five minutes shows holds in the minutes of the next."""
    histories = past.histories(series, levels.LEVELS)
    if not histories:
        return
    learned = learn_processes(histories, past.zone)
    begins = range(past.start // SLOT * SLOT, past.end, SLOT)
    slots = past.watched.process_slots(past.start, past.end)
    numbers = np.array(
        [
            [used.mean if (used := slots.get(one.id, {}).get(at)) else np.nan for at in begins]
            for one in learned.series
        ]
    )
    hours = baselines.hours_of_week(begins, past.zone)
    logarithms = np.log(numbers + learned.least[:, None])
    z = levels.scores(logarithms, hours, learned.levels, rule.sensitivity)
    expected = np.exp(learned.levels.usual.expected(hours)) - learned.least[:, None]
    ends = past.start + MINUTE * np.arange(1, past.minutes + 1)
    last = (ends - begins[0]) // SLOT - 1
    for place, one in enumerate(learned.series):
        holds = np.where(z[place] > 0, YES, NO)[last]
        is_known = learned.is_judged(place) & (last >= 0)
        yield Track(
            past.labels(one),
            one.name,
            np.where(is_known, holds, UNKNOWN),
            numbers[place][last],
            expected[place][last],
            Known.LEARNING,
        )


def _scores(rule: Rule, past: Past, learned: Learned, measure: str) -> _Scored:
    series = learned.series
    counts = past.counts(series)
    requests = np.stack([one.count for one in counts])
    minutes, known = past.minutes, past.is_received[None, :]
    if measure == "rate":
        times = [past.start + MINUTE * float(minute) for minute in range(minutes)]
        even, stepped = learned.expected_traffic(times)
        seen = spikes.Minutes(requests, even * known, learned.traffic_dispersion, requests)
        windows: Sequence[int] = spikes.TRAFFIC_WINDOWS
        scores = spikes.traffic(seen, stepped, windows, rule.sensitivity, minutes)
        return _Scored(seen, scores, windows)
    limits: Sequence[float]
    if measure == "value_lost":
        value_unit = np.nan_to_num(learned.lost.unit, nan=1.0)
        value = np.stack([one.value for one in counts]) / value_unit[:, None]
        lost = np.stack([one.value_lost for one in counts]) / value_unit[:, None]
        usual = value * learned.lost.share[:, None]
        seen = spikes.Minutes(lost, usual, learned.lost.dispersion, value)
        windows, limits = spikes.ERROR_WINDOWS, spikes.LOST_P
        scores = spikes.bad_requests(seen, windows, limits, rule.sensitivity, minutes)
        return _Scored(seen, scores, windows, value_unit)
    if measure == "error_rate":
        bad = np.stack([one.errors for one in counts])
        share, dispersion = learned.error_share, learned.error_dispersion
        windows, limits = spikes.ERROR_WINDOWS, spikes.ERROR_P
    else:
        bad = _slow_requests(past, learned, requests)
        share, dispersion = learned.slow_share, learned.slow_dispersion
        windows, limits = spikes.SLOW_WINDOWS, spikes.SLOW_P
    seen = spikes.Minutes(bad, requests * share[:, None], dispersion, requests)
    scores = spikes.bad_requests(seen, windows, limits, rule.sensitivity, minutes)
    return _Scored(seen, scores, windows)


def _slow_requests(past: Past, learned: Learned, requests: Floats) -> Floats:
    """Requests slower than usual, [series, minutes], counted in slots of a few minutes and spread
    over their minutes: the quantiles of single minutes would cost five times as much."""
    limits = np.exp(learned.slow_limit.expected(np.arange(baselines.HOURS)))
    _, slow = past.levels(learned.series, SLOW_STEP * MINUTE, limits)
    slots = np.arange(past.minutes) // SLOW_STEP
    starts = np.arange(0, past.minutes, SLOW_STEP)
    share = slow / np.maximum(np.add.reduceat(requests, starts, axis=1), 1)
    spread: Floats = np.nan_to_num(share[:, slots] * requests)
    return spread


def _judged(scored: _Scored, place: int) -> tuple[Holds, Floats, Floats]:
    """Where a series is unusual, its value in the most unusual window there, and the usual one."""
    scores = np.abs(scored.scores[place])
    minutes = np.flatnonzero(scores.any(1))
    window = np.asarray(scored.windows)[scores[minutes].argmax(1)]
    seen = scored.seen
    total = np.stack([seen.counts[place], seen.expected[place], seen.requests[place]])
    sums = np.concatenate([np.zeros((3, 1)), np.cumsum(total, axis=1)], axis=1)
    count, mean, requests = sums[:, minutes + 1] - sums[:, np.maximum(minutes + 1 - window, 0)]
    unit = window if seen.counts is seen.requests else np.maximum(requests, 1)
    if scored.value_unit is not None:
        unit = 1 / scored.value_unit[place]
    values, expected = np.full((2, scores.shape[0]), np.nan)
    values[minutes], expected[minutes] = count / unit, mean / unit
    holds = np.full(scores.shape[0], NO)
    holds[minutes] = YES
    return holds, values, expected


def replay_regression(rule: Rule, past: Past) -> Iterator[Track]:
    """`regression: [p50, p95]`: the tests of an hour, and those after a deployment. Each week is
    compared with the others."""
    assert rule.select is not None
    histories = past.histories(past.select(rule.select))
    if not histories:
        return
    learned = learning.learn(histories, past.zone)
    requests = np.stack([history.count for history in histories])
    first, count = histories[0].start, requests.shape[1]
    hours = baselines.hours_of_week(first + HOUR * np.arange(count), past.zone)
    values = learning.measures(np.log(np.stack([one.levels for one in histories])), requests)
    residuals = np.stack(
        [baselines.residuals(values[..., place], hours) for place in range(values.shape[2])], -1
    )
    ends = np.arange(count - (past.end - past.start) // HOUR, count + 1)
    current = regressions.shifts(residuals, requests, learned.shifts, ends)
    effect = rule.effect or regressions.EFFECT
    deployments = read_deployments(past.statements, first, past.end)
    since = np.stack([_since(one.series, deployments, first + HOUR * ends) for one in histories])
    over = np.maximum(
        regressions.every_hour(current, rule.sensitivity, effect),
        regressions.after_deployment(
            current, since, rule.sensitivity, min(effect, regressions.DEPLOYED_EFFECT)
        )[:, 1:],
    )  # [series, ends from the second one on, windows, measures]
    names = {*rule.regression, *(["tail"] if "p95" in rule.regression else [])}
    over[..., [name not in names for name in regressions.MEASURES]] = 0
    # The hour that ended last counts for the minutes after it.
    ended = (past.start + MINUTE * (np.arange(past.minutes) + 1) - first) // HOUR - int(ends[1])
    for place, one in enumerate(histories):
        scores = over[place].reshape(len(ends) - 1, -1)
        best = scores.argmax(1)
        shift = current.shift[place, 1:].reshape(scores.shape)[np.arange(len(best)), best]
        is_judged = (ended >= 0) & bool(learned.is_judged[place])
        hour = np.maximum(ended, 0)
        yield Track(
            past.labels(one.series),
            "change",
            judged(scores.max(1)[hour] >= 1, is_judged),
            np.expm1(shift)[hour],
            np.zeros(past.minutes),
            Known.LEARNING,
        )


def _since(series: Series, deployments: Sequence[Deployment], ends: Ints) -> Ints:
    """How many hours before each end the last deployment of the series' service was; -1: none."""
    hours: Ints = np.full(len(ends), -1)
    for one in deployments:  # the oldest first
        if (one.service, one.environment) == (series.service, series.environment):
            ago = np.round((ends - one.at) / HOUR).astype(np.int64)
            hours = np.where(ago >= 0, ago, hours)
    return hours
