"""The tests of a minute over all series that are judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from clew.analysis.baselines import Floats
from clew.analysis.detectors import spikes
from clew.analysis.detectors.findings import Finding, Sensitivity
from clew.analysis.watching.learned import Learned
from clew.analysis.watching.recent import MINUTES, Recent, Window
from clew.analysis.watching.series import MINUTE

BATCH = 200  # series that are judged at a time


@dataclass
class Usual:
    """The tests of one minute, computed once for all rules of a sensitivity."""

    at: float
    learned: Learned
    recent: Recent
    _cache: dict[Sensitivity, list[Finding]] = field(default_factory=dict)

    def findings(self, sensitivity: Sensitivity) -> list[Finding]:
        """What all tests find, of the series that are judged."""
        if sensitivity not in self._cache:
            judged = self.learned.is_judged
            self._cache[sensitivity] = [
                finding
                for start in range(0, len(judged), BATCH)
                for finding in self._batch(start, min(start + BATCH, len(judged)), sensitivity)
                if judged[finding.series]
            ]
            self._cache[sensitivity] += self._value_lost(sensitivity)
        return self._cache[sensitivity]

    def _batch(self, start: int, stop: int, sensitivity: Sensitivity) -> list[Finding]:
        """Of some of the series: a batch bounds the memory."""
        batch = _Batch(self.learned.part(start, stop), self.recent, self.at, start, sensitivity)
        findings = [*batch.bad("error_rate"), *batch.bad("slow_rate"), *batch.traffic()]
        return [replace(finding, series=finding.series + start) for finding in findings]

    def _value_lost(self, sensitivity: Sensitivity) -> list[Finding]:
        """Too much value lost. Values are sums of the window."""
        learned, places = self.learned, self.learned.valued
        if not len(places):
            return []
        unit = learned.lost.unit[places]
        windows = spikes.ERROR_WINDOWS
        value, lost = (part / unit[:, None] for part in self.recent.values(self.at))
        seen = spikes.Minutes(
            counts=lost,
            expected=value * learned.lost.share[places, None],
            dispersion=learned.lost.dispersion[places],
            requests=value,
        )
        scores = spikes.bad_requests(seen, windows, spikes.LOST_P, sensitivity)[:, -1]
        scores[~learned.is_judged[places]] = 0.0
        findings = []
        for one in spikes.findings(seen, scores, "value_lost", windows):
            factor = unit[one.series] * max(one.requests, 1.0)
            place = int(places[one.series])
            requests = self.recent.window(self.at, one.window, slice(place, place + 1)).requests
            findings.append(
                replace(
                    one,
                    series=place,
                    value=one.value * factor,
                    expected=one.expected * factor,
                    lower=one.lower * factor,
                    upper=one.upper * factor,
                    requests=float(requests.sum()),
                )
            )
        return findings


@dataclass(frozen=True)
class _Batch:
    """The series of `learned`, which are those from `start` on of all that are watched."""

    learned: Learned
    recent: Recent
    at: float
    start: int
    sensitivity: Sensitivity

    def bad(self, measure: str) -> list[Finding]:
        """Too many failed requests, or slow ones."""
        is_error = measure == "error_rate"
        windows: Sequence[int] = spikes.ERROR_WINDOWS if is_error else spikes.SLOW_WINDOWS
        learned = self.learned
        window = self._window(min(max(windows) + 1, MINUTES))
        share = learned.error_share if is_error else learned.slow_share
        seen = spikes.Minutes(
            counts=window.failed if is_error else window.slow,
            expected=window.requests * share[:, None],
            dispersion=learned.error_dispersion if is_error else learned.slow_dispersion,
            requests=window.requests,
        )
        limits = spikes.ERROR_P if is_error else spikes.SLOW_P
        scores = spikes.bad_requests(seen, windows, limits, self.sensitivity)[:, -1]
        return spikes.findings(seen, scores, measure, windows)

    def traffic(self) -> list[Finding]:
        """Too many requests, or too few."""
        window = self._window(max(spikes.TRAFFIC_WINDOWS) + 1)
        even, stepped = self.learned.expected_traffic(window.at)
        seen = spikes.Minutes(
            counts=window.requests,
            expected=even * window.is_known,
            dispersion=self.learned.traffic_dispersion,
            requests=window.requests,
        )
        scores = spikes.traffic(seen, stepped, sensitivity=self.sensitivity)[:, -1]
        return spikes.findings(seen, scores, "rate", spikes.TRAFFIC_WINDOWS)

    def _window(self, minutes: int) -> Window:
        stop = self.start + len(self.learned.series)
        return self.recent.window(self.at, minutes, slice(self.start, stop))


def slow_limits(learned: Learned, start: float, end: float) -> dict[int, Floats]:
    """From how many nanoseconds on a request is slow, by the begin of the minute."""
    minutes = range(int(start) // MINUTE * MINUTE, int(end), MINUTE)
    return {minute: learned.slow_limits(minute) for minute in minutes}
