"""The tests of a minute over all series that are judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from clew.analysis.baselines import Floats
from clew.analysis.detectors import spikes
from clew.analysis.detectors.findings import Finding, Sensitivity
from clew.analysis.watching.learned import Learned
from clew.analysis.watching.recent import MINUTES, Recent
from clew.analysis.watching.series import MINUTE


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
            findings = [*self._bad("error_rate", sensitivity), *self._bad("slow_rate", sensitivity),
                     *self._traffic(sensitivity)]  # fmt: skip
            judged = self.learned.is_judged
            self._cache[sensitivity] = [finding for finding in findings if judged[finding.series]]
        return self._cache[sensitivity]

    def _bad(self, measure: str, sensitivity: Sensitivity) -> list[Finding]:
        is_error = measure == "error_rate"
        windows: Sequence[int] = spikes.ERROR_WINDOWS if is_error else spikes.SLOW_WINDOWS
        learned = self.learned
        window = self.recent.window(self.at, min(max(windows) + 1, MINUTES))
        share = learned.error_share if is_error else learned.slow_share
        seen = spikes.Minutes(
            counts=window.failed if is_error else window.slow,
            expected=window.requests * share[:, None],
            dispersion=learned.error_dispersion if is_error else learned.slow_dispersion,
            requests=window.requests,
        )
        limits = spikes.ERROR_P if is_error else spikes.SLOW_P
        scores = spikes.bad_requests(seen, windows, limits, sensitivity)[:, -1]
        return spikes.findings(seen, scores, measure, windows)

    def _traffic(self, sensitivity: Sensitivity) -> list[Finding]:
        window = self.recent.window(self.at, max(spikes.TRAFFIC_WINDOWS) + 1)
        even, stepped = self.learned.expected_traffic(window.at)
        seen = spikes.Minutes(
            counts=window.requests,
            expected=even * window.is_known,
            dispersion=self.learned.traffic_dispersion,
            requests=window.requests,
        )
        scores = spikes.traffic(seen, stepped, sensitivity=sensitivity)[:, -1]
        return spikes.findings(seen, scores, "rate", spikes.TRAFFIC_WINDOWS)


def slow_limits(learned: Learned, start: float, end: float) -> dict[int, Floats]:
    """From how many nanoseconds on a request is slow, by the begin of the minute."""
    minutes = range(int(start) // MINUTE * MINUTE, int(end), MINUTE)
    return {minute: learned.slow_limits(minute) for minute in minutes}
