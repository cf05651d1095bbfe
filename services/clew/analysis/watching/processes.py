"""What the processes of services use, compared with their own past."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from clew.analysis import baselines
from clew.analysis.baselines import Floats
from clew.analysis.detectors import levels
from clew.analysis.detectors.findings import Finding, Sensitivity
from clew.analysis.detectors.levels import Levels
from clew.analysis.traces.times import HOUR
from clew.analysis.watching.learned import MIN_HOURS, with_accepted
from clew.analysis.watching.marks import UNMARKED, Mark
from clew.analysis.watching.process_metrics import METRICS
from clew.analysis.watching.series import History, Series

SLOT = 300  # seconds
WINDOW = levels.LASTING * SLOT


@dataclass(frozen=True)
class Processes:
    """What is usual of series of processes. `least` [series]: what is added to values, so that a
    small amount which doubles is none of interest."""

    series: tuple[Series, ...]
    zone: str
    least: Floats
    levels: Levels

    def is_judged(self, place: int) -> bool:
        """Whether enough is known of a series."""
        return int(levels.known(self.levels)[place]) >= MIN_HOURS

    def findings(
        self, values: Mapping[int, Mapping[int, float]], end: float, sensitivity: Sensitivity
    ) -> list[Finding]:
        """The series that use more than ever in the slots up to `end`, in seconds since 1970.
        `values`: by series' id and the slot's begin. Times of findings are slots."""
        begins = [int(end) - SLOT * back for back in range(levels.LASTING, 0, -1)]
        numbers = np.array(
            [[values.get(one.id, {}).get(at, np.nan) for at in begins] for one in self.series]
        )
        hours = baselines.hours_of_week(begins, self.zone)
        logarithms = np.log(numbers + self.least[:, None])
        z = levels.scores(logarithms, hours, self.levels, sensitivity)[:, -1]
        return [
            self._finding(int(place), numbers[place], float(z[place]), hours)
            for place in np.flatnonzero(z)
            if self.is_judged(int(place))
        ]

    def smallest_changes(self) -> Floats:
        """By what share of the usual value each series must be higher; nan where nothing is known
        yet."""
        is_judged = [self.is_judged(place) for place in range(len(self.series))]
        return np.where(is_judged, levels.smallest_change(self.levels), np.nan)

    def _finding(self, place: int, values: Floats, z: float, hours: baselines.Ints) -> Finding:
        usual = float(self.levels.usual.profile[place, hours].mean())
        margin = 1.645 * float(self.levels.spread[place])
        least = float(self.least[place])
        value = float(values.mean())
        return Finding(
            series=place,
            kind="anomaly",
            measure=self.series[place].name,
            time=levels.LASTING - 1,
            window=levels.LASTING,
            value=value,
            expected=max(float(np.exp(usual)) - least, 0.0),
            lower=max(float(np.exp(usual - margin)) - least, 0.0),
            upper=max(float(np.exp(usual + margin)) - least, 0.0),
            requests=0.0,
            z=z,
            as_large=levels.as_high(self.levels, place, float(np.log(value + least)) - usual),
            past=int(levels.known(self.levels)[place]),
            change_point=0,
        )


def learn_processes(
    histories: Sequence[History], zone: str = "UTC", marks: Mapping[int, Mark] = {}
) -> Processes:
    """Learn from histories of the same hours, with the quantiles `detectors.levels.LEVELS`."""
    seconds = (histories[0].start + HOUR * np.arange(len(histories[0].count))).astype(np.float64)
    hours = baselines.hours_of_week(seconds, zone)
    least = np.array([METRICS[one.series.name].least for one in histories])
    marked = [marks.get(one.series.id, UNMARKED) for one in histories]
    means = [
        baselines.without(np.where(one.count > 0, one.value, np.nan), seconds, mark.excluded)
        for one, mark in zip(histories, marked, strict=True)
    ]
    mean = np.log(np.stack(means) + least[:, None])
    spread = np.log(np.stack([one.levels for one in histories]) + least[:, None, None])
    spread += with_accepted(mean[..., None], seconds, hours, marked) - mean[..., None]
    mean = with_accepted(mean[..., None], seconds, hours, marked)[..., 0]
    return Processes(
        tuple(one.series for one in histories), zone, least, levels.learn(mean, spread, hours)
    )
