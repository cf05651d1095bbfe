"""The synthetic suite, through the detectors: each scenario once for each seed."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import numpy.typing as npt

from clew.analysis import baselines
from clew.analysis.baselines import Floats
from clew.analysis.detectors import counts, regressions, spikes

from .figures import Row, least, most
from .histograms import HISTORY, WEEK_MINUTES, Case, case

Bools = npt.NDArray[np.bool_]

UNCHANGED_HOURS = 36  # after a deployment without a change: the suite's next one comes then
SHIFTS = ("lat20", "lat50", "tail20", "tail50", "ramp30")
SMALL = ("lat10",)
MINUTES = ("spikeL", "spikeE", "spikeR", "err", "drop50", "drop100")
NEVER = np.inf


def load(path: Path) -> ModuleType:
    """The generator's module, from a file anywhere."""
    spec = importlib.util.spec_from_file_location("watched_suite", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass(frozen=True)
class Hourly:
    """`alarms`: [series, hours of the week], whether there was a finding that hour."""

    alarms: Bools
    case: Case

    def after(self, which: int, hours: int | None = None) -> Floats:
        """Hours [series] from a deployment to the first finding, NEVER where there is none within
        `hours`."""
        start = self.case.deployments[:, which] / 60
        ends = np.arange(1, self.alarms.shape[1] + 1)
        late = np.where(self.alarms, ends - start[:, None], NEVER)
        first = np.where(late > 0, late, NEVER).min(1)
        return first if hours is None else np.where(first <= hours, first, NEVER)

    def before_change(self) -> tuple[int, float]:
        """Findings before the second deployment, and for how many weeks of series."""
        start = self.case.deployments[:, 1] // 60
        is_before = np.arange(self.alarms.shape[1]) < start[:, None]
        return _episodes(self.alarms & is_before, 24), float(start.sum()) / 168


def hourly(part: Case) -> Hourly:
    """The tests of each hour, and those after deployments, over the week."""
    hours = part.values.shape[1]
    of_week = np.arange(hours) % baselines.HOURS
    residuals = np.empty_like(part.values)
    for measure in range(part.values.shape[2]):
        past = part.values[:, :HISTORY, measure]
        baseline = baselines.fit(past, of_week[:HISTORY])
        residuals[:, :HISTORY, measure] = baselines.residuals(past, of_week[:HISTORY])
        week = part.values[:, HISTORY:, measure]
        residuals[:, HISTORY:, measure] = week - baseline.expected(of_week[HISTORY:])
    history = regressions.learn(residuals[:, :HISTORY], part.requests[:, :HISTORY], part.request)
    ends = np.arange(HISTORY, hours + 1)
    current = regressions.shifts(residuals, part.requests, history, ends)
    over = regressions.every_hour(current).max(axis=(2, 3)) >= 1
    # The hour in which a deployment was is the new version's if that ran for most of it.
    began = HISTORY + np.round(part.deployments / 60)[..., None]
    since = np.where(ends >= began, ends - began, -1).astype(np.int64)
    for which in (0, 1):
        deployed = regressions.after_deployment(current, since[:, which])
        over |= deployed[:, 1:].max(axis=(2, 3)) >= 1
    return Hourly(over, part)


def minutely(part: Case) -> dict[str, Bools]:
    """The tests of each minute over the week: alarms [series, minutes] by measure."""
    minutes = np.where(part.is_known, part.minutes, 0.0)
    past = part.requests[:, :HISTORY]
    alarms: dict[str, Bools] = {}
    for name, hours, bad, windows, limits in (
        ("slow_rate", part.slow_hours, part.slow, spikes.SLOW_WINDOWS, spikes.SLOW_P),
        ("error_rate", part.failed_hours, part.failed, spikes.ERROR_WINDOWS, spikes.ERROR_P),
    ):
        share = spikes.usual_share(hours, past)[:, None]
        seen = spikes.Minutes(
            counts=np.where(part.is_known, bad, 0.0),
            expected=minutes * share,
            dispersion=counts.overdispersion(hours, past * share),
            requests=minutes,
        )
        scores = spikes.bad_requests(seen, windows, limits, judged=WEEK_MINUTES)
        alarms[name] = scores.min(2) < 0
    of_week = np.arange(HISTORY) % baselines.HOURS
    logarithms = np.log(past + 0.5)
    usual = baselines.fit(logarithms, of_week)
    held_out = np.exp(logarithms - baselines.residuals(logarithms, of_week))
    expected = np.exp(usual.interpolated(np.arange(WEEK_MINUTES))) / 60
    seen = spikes.Minutes(
        counts=minutes,
        expected=np.where(part.is_known, expected, 0.0),
        dispersion=counts.overdispersion(past, held_out),
        requests=minutes,
    )
    alarms["rate"] = np.abs(spikes.traffic(seen, judged=WEEK_MINUTES)).max(2) > 0
    return alarms


def _episodes(alarms: Bools, calm: int) -> int:
    """How often alarms begin, after at least `calm` times without."""
    total = 0
    for row in alarms:
        times = np.flatnonzero(row)
        total += int((np.diff(times, prepend=-calm - 1) > calm).sum())
    return total


def _median(values: Iterable[float]) -> float:
    return float(np.median(np.array(list(values))))


def run(suite: ModuleType, kind: str, seeds: range, series: int) -> list[Row]:
    """All rows of the table that the suite can tell of a class of traffic."""
    rows = regression_rows(suite, kind, seeds, series)
    if kind != "low":
        rows += minute_rows(suite, kind, seeds, series)
    return rows


def regression_rows(suite: ModuleType, kind: str, seeds: range, series: int) -> list[Row]:
    """Shifts, and unchanged deployments."""
    scenarios = ("lat20",) if kind == "low" else (*SHIFTS, *SMALL)
    late: dict[str, Floats] = {}
    unchanged, weeks, wrong = [], 0.0, 0
    for scenario in ("control", *scenarios):
        results = [hourly(case(suite, kind, scenario, series, seed)) for seed in seeds]
        late[scenario] = np.concatenate([result.after(1) for result in results])
        # Series of one seed are the same before the change, whatever it is: they count once.
        if scenario == "control":
            for result in results:
                unchanged += [result.after(which, UNCHANGED_HOURS) for which in (0, 1)]
                wrong += _episodes(result.alarms, 24)
                weeks += len(result.alarms)
    false = np.isfinite(np.concatenate(unchanged))
    found = {name: float(np.isfinite(hours).mean()) for name, hours in late.items()}
    name = f"{kind}: "
    per_week = wrong / weeks
    if kind == "low":
        in_time = late["lat20"] <= 30
        return [
            least(f"{name}20 % slower, recall in 30 h", in_time.mean(), 0.95, len(in_time)),
            most(
                f"{name}false per unchanged deployment",
                false.mean(),
                0.03,
                len(false),
                per_series_week=per_week,
            ),
        ]
    recall = float(np.mean([found[scenario] for scenario in SHIFTS]))
    small = float(np.mean([found[scenario] for scenario in SMALL]))
    cases = sum(len(late[scenario]) for scenario in SHIFTS)
    detail = {scenario: found[scenario] for scenario in SHIFTS}
    return [
        least(f"{name}shifts of 20 % and more, recall", recall, 0.95, cases, **detail),
        most(
            f"{name}false per unchanged deployment",
            false.mean(),
            0.025,
            len(false),
            per_series_week=per_week,
        ),
        least(
            f"{name}shifts of 20 % and more, balanced accuracy",
            (recall + 1 - false.mean()) / 2,
            0.97,
            cases + len(false),
        ),
        most(f"{name}hours to find 50 %, median", _median(late["lat50"]), 2, len(late["lat50"])),
        most(f"{name}hours to find 20 %, median", _median(late["lat20"]), 4, len(late["lat20"])),
        least(
            f"{name}10 % before and after, balanced accuracy",
            (small + 1 - false.mean()) / 2,
            0.90,
            len(late["lat10"]) + len(false),
            recall=small,
        ),
    ]


def minute_rows(suite: ModuleType, kind: str, seeds: range, series: int) -> list[Row]:
    """Spikes, errors, traffic, and false alarms of all of them."""
    measure = {"spikeL": "slow_rate", "spikeE": "error_rate", "err": "error_rate"}
    late: dict[str, Floats] = {}
    wrong, weeks = 0, 0.0
    for scenario in ("control", *MINUTES):
        firsts = []
        for seed in seeds:
            part = case(suite, kind, scenario, series, seed)
            alarms = minutely(part)
            if scenario == "control":
                wrong += sum(_episodes(alarm, 30) for alarm in alarms.values())
                weeks += part.series
                continue
            start = part.deployments[:, 1]
            enough = part.minutes[
                np.arange(part.series)[:, None], start[:, None] - 1 - np.arange(60)
            ]
            alarm = alarms[measure.get(scenario, "rate")]
            minutes = np.arange(1, WEEK_MINUTES + 1) - start[:, None]
            first = np.where(alarm & (minutes > 0), minutes, NEVER).min(1)
            firsts.append(first[enough.mean(1) >= 10])
        if firsts:
            late[scenario] = np.concatenate(firsts)
    name = f"{kind}: "
    rows = []
    for scenario, what in (
        ("spikeL", "slow spikes of 2 to 5 min"),
        ("spikeE", "failed spikes of 2 to 5 min"),
        ("spikeR", "traffic spikes of 3 to 5 min"),
    ):
        first = late[scenario]
        in_time = (first <= 4).mean()  # the end of the third minute after the first one
        rows.append(
            least(
                f"{name}{what}, recall within 3 min",
                in_time,
                0.9,
                len(first),
                within_10=float((first <= 10).mean()),
                within_3=float((first <= 3).mean()),
            )
        )
    limit = 5 if kind == "high" else 90
    rows += [
        most(
            f"{name}errors 0.1 to 1 %, minutes, median",
            _median(late["err"]),
            limit,
            len(late["err"]),
        ),
        most(
            f"{name}traffic -50 %, minutes, median",
            _median(late["drop50"]),
            20,
            len(late["drop50"]),
        ),
        most(f"{name}false alarms of minute tests per series-week", wrong / weeks, 0.1, int(weeks)),
    ]
    return rows
