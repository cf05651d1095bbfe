"""The regressions of an hour: what the hourly tests find, once for all rules."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from clew.analysis import baselines
from clew.analysis.baselines import Floats, Ints
from clew.analysis.detectors import regressions
from clew.analysis.detectors.findings import Finding, Sensitivity
from clew.analysis.traces.times import HOUR
from clew.analysis.watching.deployments import Deployment
from clew.analysis.watching.learned import Learned, measures
from clew.analysis.watching.series import History, Numbers
from clew.analysis.watching.versions import VersionFinding

HOURS = 74  # that the tests of an hour look at: 48, 24 before them, and the hour before the last


@dataclass
class Shifted:
    """The hours up to `end`, in seconds since 1970, against what was learned. `versions`: what is
    worse in a new version than in another at the same time."""

    end: int
    learned: Learned
    residuals: Floats
    expected: Floats
    requests: Floats
    deployments: Sequence[Deployment]
    versions: Sequence[VersionFinding] = ()
    _cache: dict[tuple[Sensitivity, float, frozenset[str]], list[Finding]] = field(
        default_factory=dict
    )

    @classmethod
    def compare(
        cls,
        learned: Learned,
        histories: Iterable[History],
        deployments: Sequence[Deployment],
        versions: Sequence[VersionFinding] = (),
    ) -> Shifted:
        """From the histories of the last HOURS hours; series without one count as unknown."""
        by_id = {history.series.id: history for history in histories}
        first = next(iter(by_id.values()))
        end = first.start + HOUR * len(first.count)
        missing = np.full_like(first.levels, np.nan)
        levels = [by_id[s.id].levels if s.id in by_id else missing for s in learned.series]
        none: Numbers = np.zeros_like(first.count)
        counts = [by_id[s.id].count if s.id in by_id else none for s in learned.series]
        requests = np.stack(counts)
        seconds = first.start + HOUR * np.arange(len(first.count))
        hours = baselines.hours_of_week(seconds, learned.zone)
        expected = np.stack([one.expected(hours) for one in learned.quantiles], axis=-1)
        values = measures(np.log(np.stack(levels)), requests)
        residuals = values - expected
        # Hours before an accepted change are not what is usual now.
        residuals[seconds < learned.accepted[:, None]] = np.nan
        return cls(end, learned, residuals, expected, requests, deployments, versions)

    def deployment(self, place: int) -> Deployment | None:
        """The last deployment of a series' service."""
        series = self.learned.series[place]
        return next(
            (
                deployment
                for deployment in reversed(self.deployments)
                if (deployment.service, deployment.environment)
                == (series.service, series.environment)
            ),
            None,
        )

    def findings(
        self, sensitivity: Sensitivity, effect: float, measures: frozenset[str]
    ) -> list[Finding]:
        """The series that are slower by one of `measures`, of those that are judged."""
        key = (sensitivity, effect, measures)
        if key not in self._cache:
            self._cache[key] = self._find(sensitivity, effect, measures)
        return self._cache[key]

    def at(self, place: int) -> float:
        """The begin of an hour, by its place in the arrays, in seconds since 1970."""
        return float(self.end - HOUR * (self.residuals.shape[1] - place))

    def _find(
        self, sensitivity: Sensitivity, effect: float, measures: frozenset[str]
    ) -> list[Finding]:
        hours = self.residuals.shape[1]
        history = self.learned.shifts
        current = regressions.shifts(
            self.residuals, self.requests, history, [hours - 1, hours]
        ).only(measures)
        over = regressions.every_hour(current, sensitivity, effect)[:, -1]
        began = np.array([self._began(place) for place in range(len(self.learned.series))])
        since: Ints = np.where(
            began[:, None] >= 0, np.array([hours - 1, hours]) - began[:, None], -1
        )
        deployed = regressions.after_deployment(
            current, since, sensitivity, min(effect, regressions.DEPLOYED_EFFECT)
        )[:, -1]
        findings = regressions.findings(
            current,
            np.maximum(over, deployed),
            self.expected,
            self.residuals,
            self.requests,
            history,
            began,
        )
        return [one for one in findings if self.learned.is_judged[one.series]]

    def _began(self, place: int) -> int:
        """The first hour that is mostly of the last deployment; -1 if there is none."""
        deployment = self.deployment(place)
        if deployment is None:
            return -1
        hours = self.residuals.shape[1]
        hour = hours - round((self.end - deployment.at) / HOUR)
        return hour if 0 <= hour < hours else -1
