"""What the processes of services use, compared with their own past."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

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
from clew.analysis.watching.series import History, Series, Used

SLOT = 300  # seconds
WINDOW = levels.LASTING * SLOT


@dataclass(frozen=True)
class ProcessFinding:
    """A service's processes use more than ever: their mean or, if `instance` is given, that of the
    one that uses most; `others`: the mean of its siblings."""

    finding: Finding
    instance: str = ""
    others: float = math.nan


@dataclass(frozen=True)
class Processes:
    """What is usual of series of processes: of the mean of instances (`levels`), and of the one
    that uses most (`worst`). `least` [series]: what is added to values, so that a small amount
    which doubles is none of interest."""

    series: tuple[Series, ...]
    zone: str
    least: Floats
    levels: Levels
    worst: Levels

    def is_judged(self, place: int) -> bool:
        """Whether enough is known of a series."""
        return int(levels.known(self.levels)[place]) >= MIN_HOURS

    def findings(
        self, values: Mapping[int, Mapping[int, Used]], end: float, sensitivity: Sensitivity
    ) -> list[ProcessFinding]:
        """The series that use more than ever in the slots up to `end`, in seconds since 1970; of
        those whose instances together do not, the ones of which one instance does. `values`: by
        series' id and the slot's begin. Times of findings are slots."""
        begins = [int(end) - SLOT * back for back in range(levels.LASTING, 0, -1)]
        slots = [[values.get(one.id, {}).get(at) for at in begins] for one in self.series]
        hours = baselines.hours_of_week(begins, self.zone)
        mean = np.array([[used.mean if used else np.nan for used in row] for row in slots])
        uneven = [_uneven(row) for row in slots]
        unknown = [math.nan] * levels.LASTING
        worst = np.array([[used.worst for used in row] or unknown for row in uneven])
        z_mean = self._scores(mean, hours, self.levels, sensitivity)
        z_worst = self._scores(worst, hours, self.worst, sensitivity)
        findings = [
            ProcessFinding(self._finding(place, mean[place], z_mean[place], hours, self.levels))
            for place in np.flatnonzero(z_mean).tolist()
        ]
        for place in np.flatnonzero((z_mean == 0) & (z_worst > 0)).tolist():
            finding = self._finding(place, worst[place], z_worst[place], hours, self.worst)
            others = float(np.mean([used.others for used in uneven[place]]))
            findings.append(ProcessFinding(finding, uneven[place][-1].instance, others))
        return findings

    def _scores(
        self, values: Floats, hours: baselines.Ints, usual: Levels, sensitivity: Sensitivity
    ) -> Floats:
        """z [series] of the last slot; 0 of series of which too little is known."""
        logarithms = np.log(values + self.least[:, None])
        z = levels.scores(logarithms, hours, usual, sensitivity)[:, -1]
        return np.where(levels.known(usual) >= MIN_HOURS, z, 0.0)

    def smallest_changes(self) -> Floats:
        """By what share of the usual value each series must be higher; nan where nothing is known
        yet."""
        is_judged = [self.is_judged(place) for place in range(len(self.series))]
        return np.where(is_judged, levels.smallest_change(self.levels), np.nan)

    def _finding(
        self, place: int, values: Floats, z: float, hours: baselines.Ints, learned: Levels
    ) -> Finding:
        usual = float(learned.usual.profile[place, hours].mean())
        margin = 1.645 * float(learned.spread[place])
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
            z=float(z),
            as_large=levels.as_high(learned, place, float(np.log(value + least)) - usual),
            past=int(levels.known(learned)[place]),
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
    levels_of = partial(_levels, histories, seconds, hours, least, marked)
    mean, worst = ([getattr(one, name) for one in histories] for name in ("value", "worst"))
    return Processes(
        tuple(one.series for one in histories), zone, least, levels_of(mean), levels_of(worst)
    )


def _uneven(slots: Sequence[Used | None]) -> list[Used]:
    """The slots, if the same instance, which has siblings, used most in all of them; else none."""
    known = [used for used in slots if used is not None and math.isfinite(used.others)]
    is_one = len({used.instance for used in known}) == 1
    return known if is_one and len(known) == len(slots) else []


def _levels(
    histories: Sequence[History],
    seconds: Floats,
    hours: baselines.Ints,
    least: Floats,
    marked: Sequence[Mark],
    values: Sequence[Floats],
) -> Levels:
    """What is usual of values of hours [series][hours]; 0 is not known. The slots of an hour vary
    as those of the mean do."""
    known = [
        baselines.without(
            np.where((one.count > 0) & (value > 0), value, np.nan), seconds, mark.excluded
        )
        for one, value, mark in zip(histories, values, marked, strict=True)
    ]
    logarithm = np.log(np.stack(known) + least[:, None])
    mean = np.log(np.stack([one.value for one in histories]) + least[:, None])
    spread = np.log(np.stack([one.levels for one in histories]) + least[:, None, None])
    accepted = with_accepted(logarithm[..., None], seconds, hours, marked)
    return levels.learn(accepted[..., 0], spread - mean[..., None] + accepted, hours)
