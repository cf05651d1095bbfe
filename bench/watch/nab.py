"""The Numenta Anomaly Benchmark's score, by its published formulas (Lavin and Ahmad 2015), and its
files: `data/*/*.csv` with timestamp and value, `labels/combined_windows.json`.

Profile "standard": a window that is found counts up to 1, the more the earlier in it; one that is
missed -1; a false alarm up to -0.11, less just after a window. The first 15 % of a file (of 5,000
rows at most) are not scored. 0 is a detector that says nothing, 100 one that is perfect.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from clew.analysis.baselines import Floats
from clew.analysis.detectors import anomalies

from .made import Labelled

FALSE_POSITIVE = 0.11
PROBATION = 0.15
PROBATION_ROWS = 5000
BLOCK = 50  # rows between two times of learning
LEAST = 0.5  # scores below are no candidates

Bools = npt.NDArray[np.bool_]
Detector = Callable[[Floats, float], Floats]


@dataclass(frozen=True)
class Scored:
    """The points of a corpus, normalized: at the threshold that suits the whole corpus best, as
    NAB does it, and at the detector's own."""

    best: float
    threshold: float
    fixed: float
    files: int
    windows: int
    found: int
    false_alarms: int


def probation(rows: int) -> int:
    """How many rows of a file are not scored."""
    return min(math.floor(PROBATION * rows), int(PROBATION * PROBATION_ROWS))


def sigmoid(position: float) -> float:
    """The weight of a detection: 1 long before the end of a window, 0 there, -1 long after."""
    return -1.0 if position > 3 else 2 / (1 + math.exp(5 * position)) - 1


def weights(series: Labelled) -> tuple[Floats, Floats]:
    """For each row what a detection there counts, and the number of its window, -1 outside."""
    rows = len(series.values)
    value, window = np.full(rows, -FALSE_POSITIVE), np.full(rows, -1.0)
    for number, (start, end) in enumerate(series.windows):
        width = end - start + 1
        following = series.windows[number + 1][0] if number + 1 < len(series.windows) else rows
        for row in range(start, end + 1):
            value[row] = sigmoid(-(end - row + 1) / width) / sigmoid(-1.0)
            window[row] = number
        for row in range(end + 1, following):
            value[row] = FALSE_POSITIVE * sigmoid((row - end) / max(width - 1, 1))
    return value, window


@dataclass(frozen=True)
class Alarms:
    """What a detector said of one file: the scored rows with a score above 0, what each counts,
    and its window."""

    scores: Floats
    value: Floats
    window: Floats
    windows: int

    @classmethod
    def of_file(cls, series: Labelled, scores: Floats) -> Alarms:
        value, window = weights(series)
        rows = np.flatnonzero(scores > 0)
        rows = rows[rows >= probation(len(scores))]
        return cls(scores[rows], value[rows], window[rows], len(series.windows))

    def points(self, threshold: float) -> float:
        """What the rows with at least this score count together."""
        found, false = self.at(threshold)
        best = np.full(self.windows, -np.inf)
        np.maximum.at(best, self.window[found].astype(int), self.value[found])
        return float(np.where(np.isfinite(best), best, -1.0).sum() + self.value[false].sum())

    def at(self, threshold: float) -> tuple[Bools, Bools]:
        """Alarms inside windows and outside."""
        is_alarm = self.scores >= threshold
        return is_alarm & (self.window >= 0), is_alarm & (self.window < 0)


def evaluate(corpus: Sequence[Labelled], detect: Detector, threshold: float) -> Scored:
    """A detector's score on a corpus."""
    alarms = [Alarms.of_file(series, detect(series.values, series.step)) for series in corpus]
    windows = sum(file.windows for file in alarms)
    candidates = np.unique(np.concatenate([file.scores for file in alarms]))
    if len(candidates) > 1000:
        candidates = np.quantile(candidates, np.linspace(0, 1, 1000))
    candidates = np.append(candidates, threshold)
    totals = [sum(file.points(level) for file in alarms) for level in candidates]
    normalized = 100 * (np.array(totals) + windows) / max(2 * windows, 1)
    best = int(normalized.argmax())
    found, false = 0, 0
    for file in alarms:
        inside, outside = file.at(candidates[best])
        found += len(np.unique(file.window[inside]))
        false += int(outside.sum())
    return Scored(
        best=float(normalized[best]),
        threshold=float(candidates[best]),
        fixed=float(normalized[-1]),
        files=len(corpus),
        windows=windows,
        found=found,
        false_alarms=false,
    )


def read(directory: Path) -> list[Labelled]:
    """A checkout of NAB: every file that has labels, those without anomalies too."""
    labels = json.loads((directory / "labels" / "combined_windows.json").read_text())
    corpus = []
    for name in sorted(labels):
        path = directory / "data" / name
        if not path.exists():
            continue
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        times = np.array([_seconds(row["timestamp"]) for row in rows])
        values = np.array([float(row["value"]) for row in rows])
        windows = []
        for start, end in labels[name]:
            inside = np.flatnonzero((times >= _seconds(start)) & (times <= _seconds(end)))
            if len(inside):
                windows.append((int(inside[0]), int(inside[-1])))
        corpus.append(Labelled(name, values, float(np.median(np.diff(times))), windows))
    return corpus


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def detect(values: Floats, step: float) -> Floats:
    """The scores of a file's rows by clew's detector. It learns anew from all rows so far every
    50 rows, and never sees a later one."""
    rows = len(values)
    current = anomalies.features(values[None], anomalies.rows_of_day(step))
    result = np.zeros(rows)
    for start in range(max(int(0.7 * probation(rows)), 50), rows, BLOCK):
        tails = anomalies.learn(current[:, :start])
        block = slice(start, start + BLOCK)
        result[block] = anomalies.scores(current[:, block], tails)[0]
    return anomalies.onsets(result, probation(rows) // 2, LEAST)
