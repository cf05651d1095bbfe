"""Metrics, and their forecasts, over all minutes of a window."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np

from clew.analysis import baselines
from clew.analysis.alerts.quantities import OPERATORS
from clew.analysis.alerts.rules import Rule
from clew.analysis.alerts.states import Known
from clew.analysis.baselines import Floats
from clew.analysis.detectors import forecasts
from clew.analysis.traces.times import HOUR
from clew.analysis.watching.judges.metrics import FORECAST_DAYS, MIN_DAYS, stream_labels
from clew.analysis.watching.replay.past import MAX_SERIES, Past
from clew.analysis.watching.replay.tracks import UNKNOWN, Track, judged
from clew.analysis.watching.series import MINUTE, MetricSlot

FORECAST_EVERY = 6 * HOUR  # seconds between two forecasts


def replay_metric(rule: Rule, past: Past) -> Iterator[Track]:
    """`metric: NAME, when: value > 0.9`, looked at once in each window."""
    assert rule.metric is not None
    assert rule.when is not None
    step = max(MINUTE, round(rule.over / MINUTE) * MINUTE)
    ended = (np.arange(past.minutes) + 1) * MINUTE // step - 1
    slots = past.watched.metric(rule.metric, past.start, past.end, step)
    for labels, stream in _streams(rule, slots):
        windows = _spread(stream, past.start, step, -(-(past.end - past.start) // step))
        values = np.where(ended >= 0, windows[np.maximum(ended, 0)], np.nan)
        condition = OPERATORS[rule.when.comparison](np.nan_to_num(values), rule.when.limit)  # type: ignore[arg-type]
        holds = judged(np.asarray(condition), np.isfinite(values))
        limit = np.full(past.minutes, rule.when.limit)
        yield Track(labels, "value", holds, values, limit)


def replay_forecast(rule: Rule, past: Past) -> Iterator[Track]:
    """`forecast: {reaches: 0.9, within: 4d}`, made anew every six hours."""
    assert rule.metric is not None
    assert rule.forecast is not None
    days = FORECAST_DAYS * 24
    first = past.start // HOUR * HOUR
    slots = past.watched.metric(rule.metric, first - days * HOUR, past.end, HOUR)
    ends = range(first, past.end + 1, FORECAST_EVERY)
    index = np.minimum((np.arange(past.minutes) * MINUTE) // FORECAST_EVERY, len(ends) - 1)
    for labels, stream in _streams(rule, slots):
        hours = _spread(stream, first - days * HOUR, HOUR, days + -(-(past.end - first) // HOUR))
        parts = [hours[(end - first) // HOUR :][:days] for end in ends]
        reached = np.array(
            [_reaches(rule, part, end, past) for part, end in zip(parts, ends, strict=True)]
        )
        values = np.array([part[np.isfinite(part)][-1:].sum() for part in parts])
        yield Track(
            labels,
            "value",
            reached[index].astype(np.int8),
            values[index],
            np.full(past.minutes, rule.forecast.reaches),
            Known.LEARNING,
        )


def _reaches(rule: Rule, values: Floats, end: float, past: Past) -> int:
    assert rule.forecast is not None
    known = values[np.isfinite(values)]
    if len(known) < MIN_DAYS * 24:
        return int(UNKNOWN)
    hours = baselines.hours_of_week(end - HOUR * np.arange(len(values), 0, -1), past.zone)
    limit, horizon = rule.forecast.reaches, max(1, round(rule.forecast.within / HOUR))
    expected, _ = forecasts.hours_until(
        values[None], hours, limit, horizon, limit >= float(known[-1])
    )
    return int(np.isfinite(expected[0]))


def _streams(
    rule: Rule, slots: Sequence[MetricSlot]
) -> Iterator[tuple[dict[str, str], list[MetricSlot]]]:
    """The labels and slots of the streams that a rule selects, at most MAX_SERIES."""
    count = 0
    for _, group in groupby(slots, key=lambda slot: (slot.service, slot.environment, slot.labels)):
        stream = list(group)
        labels = stream_labels(rule, stream[0])
        if labels is not None and count < MAX_SERIES:
            count += 1
            yield labels, stream


def _spread(stream: Sequence[MetricSlot], start: float, step: int, count: int) -> Floats:
    """The values of a stream by slots, nan where there is none."""
    values = np.full(count, np.nan)
    for slot in stream:
        place = round((slot.at - start) / step)
        if 0 <= place < count and slot.value is not None:
            values[place] = slot.value
    return values
