"""Labelled series of our own, of the kinds that NAB and TCPD have: to tune against, and for when
those are not at hand. Nothing of them is copied; everything comes from a seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from clew.analysis.baselines import Floats

Random = np.random.Generator
DAY = 288  # rows of five minutes


@dataclass(frozen=True)
class Labelled:
    """Values [rows], seconds between rows, and where windows around anomalies begin and end."""

    name: str
    values: Floats
    step: float
    windows: list[tuple[int, int]]


def _correlated(random: Random, rows: int, remains: float, deviation: float) -> Floats:
    """Noise of which a part remains from row to row."""
    steps = random.normal(0, deviation * np.sqrt(1 - remains**2), rows)
    for row in range(1, rows):
        steps[row] += remains * steps[row - 1]
    return steps


def _phase(rows: int, day: int) -> npt.NDArray[np.int64]:
    return np.arange(rows) % day


def idle_machine(random: Random, rows: int, at: list[int], day: int) -> Floats:
    """A machine that does little, with short jobs; then a higher level, or a load."""
    values = 2 + random.exponential(0.3, rows) + 0.1 * np.abs(_correlated(random, rows, 0.9, 1))
    every = int(random.integers(30, 200))
    values[::every] += random.uniform(2, 5)
    for row in at:
        length = int(random.integers(3, 150))
        values[row : row + length] += random.uniform(4, 40)
    return values


def busy_machine(random: Random, rows: int, at: list[int], day: int) -> Floats:
    """A level with noise; then another level, for hours or for good, or an outage."""
    values: Floats = 50 + _correlated(random, rows, random.uniform(0.3, 0.95), random.uniform(1, 6))
    for row in at:
        length = rows if random.random() < 0.5 else int(random.integers(20, 300))
        change = random.choice([-1, 1]) * random.uniform(15, 40)
        values[row : row + length] += change
    result: Floats = np.clip(values, 0, 100)
    return result


def bursts(random: Random, rows: int, at: list[int], day: int) -> Floats:
    """Traffic in bursts at odd intervals; then bursts far larger, or many of them."""
    values = random.gamma(1.5, 2e4, rows)
    starts = np.cumsum(random.integers(20, 120, rows // 20))
    for start in starts[starts < rows - 5]:
        values[start : start + int(random.integers(1, 5))] += random.lognormal(13, 0.5)
    for row in at:
        if random.random() < 0.5:
            values[row : row + int(random.integers(1, 6))] += np.exp(random.uniform(15, 16.5))
        else:
            values[row : row + 60] += random.lognormal(13.2, 0.5, len(values[row : row + 60]))
    return values


def temperature(random: Random, rows: int, at: list[int], day: int) -> Floats:
    """A level that drifts, with days; then a fall within hours."""
    values = 80 + _correlated(random, rows, 0.995, 5) + random.normal(0, 0.7, rows)
    values += random.uniform(0, 3) * np.cos(2 * np.pi * _phase(rows, day) / day)
    for row in at:
        length = int(random.integers(40, 300))
        fall = random.uniform(20, 50) * np.minimum(1, np.arange(length) / 30)
        values[row : row + length] -= fall[: len(values[row : row + length])]
    return values


def demand(random: Random, rows: int, at: list[int], day: int) -> Floats:
    """Demand with days and weekends; then a day of another kind, or a rush of hours."""
    phase = _phase(rows, day) / day
    shape = 1 + 0.6 * np.sin(2 * np.pi * (phase - 0.3)) + 0.3 * np.sin(4 * np.pi * phase)
    weekend = (np.arange(rows) // day) % 7 >= 5
    values = 1e4 * shape * np.where(weekend, 0.8, 1.0)
    values *= 1 + _correlated(random, rows, 0.9, 0.05)
    for row in at:
        length = int(random.uniform(0.2, 1.2) * day)
        values[row : row + length] *= random.choice([0.5, 0.6, 1.5, 1.8])
    return values


def mentions(random: Random, rows: int, at: list[int], day: int) -> Floats:
    """Counts with heavy tails and small bursts; then a burst of hours."""
    phase = _phase(rows, day) / day
    rate = random.uniform(5, 60) * (1 + 0.5 * np.sin(2 * np.pi * phase))
    values: Floats = random.negative_binomial(2, 1 / (1 + rate / 2)).astype(np.float64)
    for start in random.integers(0, rows - 10, rows // 400):
        values[start : start + 4] *= random.uniform(2, 5)
    for row in at:
        length = int(random.integers(6, 60))
        fade = np.exp(-np.arange(length) / (length / 3))
        part = values[row : row + length]
        part += random.uniform(8, 40) * rate.mean() * fade[: len(part)]
    return values


def speed(random: Random, rows: int, at: list[int], day: int) -> Floats:
    """Speed of cars: a ceiling with dips; then a jam."""
    values: Floats = 70 - random.gamma(2, 3, rows) + _correlated(random, rows, 0.8, 3)
    for row in at:
        length = int(random.integers(8, 60))
        values[row : row + length] -= random.uniform(25, 45)
    result: Floats = np.clip(values, 0, 90)
    return result


def auction(random: Random, rows: int, at: list[int], day: int) -> Floats:
    """Prices with days and single peaks; then peaks far larger."""
    values = 0.1 + 0.03 * np.sin(2 * np.pi * _phase(rows, day) / day)
    values = values * random.lognormal(0, 0.25, rows)
    for start in random.integers(0, rows, rows // 150):
        values[start] *= random.uniform(2, 4)
    for row in at:
        values[row : row + int(random.integers(1, 8))] *= random.uniform(6, 20)
    return values


def clean(random: Random, rows: int, at: list[int], day: int) -> Floats:
    """The same day every day; then one without its peak, with a lower or a higher one, or noise."""
    phase = _phase(rows, day) / day
    peak = ((phase > 0.35) & (phase < 0.75)) * 1.0
    shape = 20 + 60 * (peak if random.random() < 0.6 else np.sin(np.pi * phase) ** 2)
    values = shape + random.normal(0, random.choice([0.0, 1.0, 4.0]), rows)
    for row in at:
        start = row // day * day
        part = slice(start, min(start + day, rows))
        match int(random.integers(0, 4)):
            case 0:
                values[part] = 20 + (values[part] - shape[part])
            case 1:
                values[part] += 0.6 * (shape[part] - 20)
            case 2:
                values[part] -= 0.5 * (shape[part] - 20)
            case _:
                values[row : row + day // 2] += random.normal(
                    0, 25, len(values[row : row + day // 2])
                )
    return values


def latency(random: Random, rows: int, at: list[int], day: int) -> Floats:
    """Latency with rare peaks; then many of them, or a level that is a little higher."""
    values = 45 + _correlated(random, rows, 0.5, 2)
    for start in random.integers(0, rows, rows // 250):
        values[start] += random.uniform(10, 30)
    for row in at:
        length = int(random.integers(30, 200))
        part = values[row : row + length]
        if random.random() < 0.5:
            part += random.uniform(4, 10)
        else:
            part += random.uniform(15, 60, len(part)) * (random.random(len(part)) < 0.3)
    return values


KINDS: tuple[Callable[[Random, int, list[int], int], Floats], ...] = (
    idle_machine,
    busy_machine,
    bursts,
    temperature,
    demand,
    mentions,
    speed,
    auction,
    clean,
    latency,
)


def machine_series(seed: int, each: int = 6) -> list[Labelled]:
    """So many series of each kind: mostly two weeks at five minutes, with none to three anomalies.
    Their windows cover a tenth of the rows, as NAB's do."""
    random = np.random.default_rng(seed)
    result = []
    for kind in KINDS:
        for number in range(each):
            hourly = kind is auction or random.random() < 0.1
            day = 24 if hourly else DAY
            rows = 1600 if hourly else int(random.choice([4032, 4032, 4032, 8000, 15_800]))
            count = int(random.choice([0, 1, 1, 2, 2, 3]))
            places = np.sort(random.choice(np.arange(20, 95), count, replace=False)) / 100
            at = [int(place * rows) for place in places]
            half = int(0.05 * rows / max(count, 1))
            windows = [(max(row - half, 0), min(row + half, rows - 1)) for row in at]
            values = kind(random, rows, at, day)
            step = 3600.0 if hourly else 300.0
            result.append(Labelled(f"{kind.__name__}/{number}", values, step, _apart(windows)))
    return result


def _apart(windows: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Windows that overlap become one."""
    result: list[tuple[int, int]] = []
    for start, end in windows:
        if result and start <= result[-1][1]:
            result[-1] = (result[-1][0], end)
        else:
            result.append((start, end))
    return result


def stepped_series(seed: int, count: int = 40) -> list[tuple[str, Floats, list[int]]]:
    """Series of 50 to 700 rows with changes of level or of trend, or none, in noise of which a part
    remains; some with a season. Name, values, and first rows of segments."""
    random = np.random.default_rng(seed)
    result = []
    for number in range(count):
        rows = int(random.choice([50, 100, 150, 250, 500, 700]))
        changes = int(random.choice([0, 1, 1, 2, 2, 3, 5]))
        places = np.sort(random.choice(np.arange(1, 10), changes, replace=False))
        points = [int(place * rows / 10) for place in places]
        noise = _correlated(random, rows, random.uniform(0, 0.8), 1.0)
        values = noise
        kind = ("level", "trend")[number % 2]
        for point in points:
            size = random.choice([-1, 1]) * random.uniform(2, 8)
            if kind == "level":
                values[point:] += size
            else:
                values[point:] += size * np.arange(rows - point) * 5 / rows
        if random.random() < 0.25:
            values = values + 1.5 * np.sin(2 * np.pi * np.arange(rows) / 12)
        result.append((f"{kind}/{number}", values, points))
    return result
