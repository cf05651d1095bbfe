"""The synthetic suite, through the detectors: each scenario once for each seed."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from clew.analysis import baselines
from clew.analysis.baselines import Floats
from clew.analysis.detectors import counts, forecasts, regressions, spikes, versions

from .figures import Row, least, most
from .histograms import HISTORY, WEEK_MINUTES, Case, case, quantiles, request_variance

Bools = npt.NDArray[np.bool_]

UNCHANGED_HOURS = 36  # after a deployment without a change: the suite's next one comes then
SHIFTS = ("lat20", "lat50", "tail20", "tail50", "ramp30")
SMALL = ("lat10", "tail10")
MINUTES = ("spikeL", "spikeE", "spikeR", "err", "drop50", "drop100")
NEVER = np.inf
NEW_SHARE = 0.3  # of the requests, while two versions serve


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


def minutely(part: Case) -> tuple[dict[str, Bools], Bools]:
    """The tests of each minute over the week: alarms [series, minutes] by measure, and the minutes
    at which people would be woken."""
    minutes = np.where(part.is_known, part.minutes, 0.0)
    past = part.requests[:, :HISTORY]
    alarms: dict[str, Bools] = {}
    pages = np.zeros(minutes.shape, dtype=bool)
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
        pages |= scores.min(2) < np.log(spikes.PAGE_P)
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
    held = np.exp(usual.expected(np.arange(WEEK_MINUTES) // 60)) / 60
    z = np.abs(spikes.traffic(seen, held, judged=WEEK_MINUTES)).max(2)
    alarms["rate"] = z > 0
    return alarms, pages | (z >= spikes.PAGE_Z)


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
        rows += version_rows(suite, kind, seeds, series)
        rows += minute_rows(suite, kind, seeds, series)
    return [*rows, *forecast_rows(suite, kind, seeds, series)]


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
    small = found["lat10"]
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
            recall_of_the_tail_alone=found["tail10"],
        ),
    ]


def minute_rows(suite: ModuleType, kind: str, seeds: range, series: int) -> list[Row]:
    """Spikes, errors, traffic, and false alarms of all of them."""
    measure = {"spikeL": "slow_rate", "spikeE": "error_rate", "err": "error_rate"}
    late: dict[str, Floats] = {}
    wrong, woken, weeks = 0, 0, 0
    for scenario in ("control", *MINUTES):
        firsts = []
        for seed in seeds:
            part = case(suite, kind, scenario, series, seed)
            alarms, pages = minutely(part)
            if scenario == "control":
                wrong += sum(_episodes(alarm, 30) for alarm in alarms.values())
                woken += _episodes(pages, 30)
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
        most(f"{name}false alarms of minute tests per series-week", wrong / weeks, 0.1, weeks),
        most(f"{name}pages in {weeks} unchanged series-weeks", woken, 0, weeks),
    ]
    return rows


def version_rows(suite: ModuleType, kind: str, seeds: range, series: int) -> list[Row]:
    """Two versions at once: of series made with the same seed, one with and one without a change,
    a part of the requests each, until the new version has served so many."""
    rows = []
    for enough in (3000, 10_000):
        found: dict[str, list[bool]] = {"control": [], "lat10": []}
        for seed in seeds:
            old = suite.make(kind, "control", series, seed)
            changed = suite.make(kind, "lat10", series, seed)
            for scenario, new in (("control", old), ("lat10", changed)):
                found[scenario] += _compared(old, new, enough, float(suite.G), seed)
        recall, false = (float(np.mean(found[name])) for name in ("lat10", "control"))
        count = len(found["lat10"])
        name = f"{kind}: both versions at once, 10 %, {enough} requests of the new one"
        bar = 0.95 if enough == 10_000 else 0.0
        rows.append(least(name, recall, bar, count, false=false))
    return rows


def _compared(
    old: dict[str, Any], new: dict[str, Any], enough: int, width: float, seed: int
) -> list[bool]:
    """Whether the new version of each series is found to be slower. Series that do not serve
    enough requests until the week is over are left out."""
    random = np.random.default_rng(seed)
    result = []
    for place, start in enumerate(old["T0"]):
        before = random.binomial(old["hm"][place, start:], 1 - NEW_SHARE)
        after = random.binomial(new["hm"][place, start:], NEW_SHARE)
        served = after.sum(1).cumsum()
        minutes = int(np.searchsorted(served, enough)) + 1
        if minutes > len(served):
            continue
        hours = np.arange(0, minutes, 60)
        parts = [np.add.reduceat(part[:minutes], hours, axis=0) for part in (before, after)]
        old_requests, new_requests = (part.sum(1)[None].astype(np.float64) for part in parts)
        older, newer = (
            regressions.measures(
                quantiles(part, regressions.LEVELS, width)[None],
                part.sum(1)[None].astype(np.float64),
            )
            for part in parts
        )
        request = request_variance(old["hh"][place : place + 1], width)
        shift, z = versions.compare(older, newer, old_requests, new_requests, request)
        result.append(bool(versions.findings(shift, z, older, new_requests)))
    return result


def forecast_rows(suite: ModuleType, kind: str, seeds: range, series: int) -> list[Row]:
    """The next 24 hours of traffic, p50 and p95, each day of the week but the first, against the
    same hours a week before."""
    errors, naive, covered = [], [], []
    for seed in seeds:
        part = case(suite, kind, "control", series, seed)
        unknown = ~part.is_known.reshape(series, -1, 60).all(2)
        for values in (np.log(part.requests + 0.5), part.values[..., 0], part.values[..., 2]):
            values[:, HISTORY:][unknown] = np.nan
            for start in range(HISTORY + 24, values.shape[1], 24):
                past, ahead = slice(start - HISTORY, start), slice(start, start + 24)
                of_week = np.arange(values.shape[1]) % baselines.HOURS
                forecast = forecasts.day_ahead(values[:, past], of_week[past], of_week[ahead])
                actual, week_ago = values[:, ahead], values[:, start - 168 : start - 144]
                is_known = np.isfinite(actual) & np.isfinite(week_ago)
                errors.append(np.abs(forecast.expected - actual)[is_known].sum())
                naive.append(np.abs(week_ago - actual)[is_known].sum())
                inside = (actual >= forecast.lower) & (actual <= forecast.upper)
                covered.append(inside[is_known])
    share = float(np.concatenate(covered).mean())
    ratio = sum(errors) / sum(naive)
    return [
        most(f"{kind}: forecast of 24 h, error against last week's", ratio, 0.9, len(errors)),
        least(f"{kind}: values within the forecast's band, least", share, 0.85, len(errors)),
        most(f"{kind}: values within the forecast's band, most", share, 0.95, len(errors)),
    ]
