"""Two versions that serve at the same time, compared directly: a deployment by parts, a canary.

Both see the same machines, traffic and time of day, so what is left is the version. Hours are
compared one by one and then averaged: a share of the new version that grows while the day becomes
busier is no difference between versions. The deviation is that of sampling, or that of the hours'
differences among themselves where that is larger, and never less than `FLOOR`: no two instances are
alike.
"""

from __future__ import annotations

import numpy as np

from clew.analysis.baselines import Floats
from clew.analysis.detectors.counts import log_tail
from clew.analysis.detectors.findings import Finding
from clew.analysis.detectors.regressions import MEASURES

FLOOR = 0.01
Z = 4.0
EFFECT = 0.05  # the smallest shift that is reported
ERRORS_P = 1e-6
MIN_FAILED = 5
MIN_RATIO = 2.0


def compare(
    old: Floats, new: Floats, old_requests: Floats, new_requests: Floats, request: Floats
) -> tuple[Floats, Floats]:
    """Shift and z [series, measures] of the new version against the old one. Logarithms of both
    are [series, hours, measures] (`regressions.measures`), requests [series, hours], the variance
    of one request [series, measures]."""
    inverse = 1 / np.maximum(old_requests, 1) + 1 / np.maximum(new_requests, 1)
    difference = new - old
    is_known = np.isfinite(difference)
    weights = np.where(is_known, 1 / (request[:, None, :] * inverse[..., None]), 0.0)
    total = weights.sum(1)
    known = np.maximum(total, 1e-12)
    shift = (weights * np.nan_to_num(difference)).sum(1) / known
    hours = is_known.sum(1)
    distance = np.where(is_known, difference - shift[:, None, :], 0.0)
    spread = (weights * distance**2).sum(1) / np.maximum(hours - 1, 1)
    excess = np.where(hours >= 4, np.maximum(spread, 1.0), 1.0)
    deviation = np.sqrt(excess / known + FLOOR**2)
    shift = np.where(total > 0, shift, np.nan)
    return shift, shift / deviation


def findings(
    shift: Floats, z: Floats, old: Floats, new_requests: Floats, effect: float = EFFECT
) -> list[Finding]:
    """What to say of the series whose new version is slower: one of each measure, the clearest
    first."""
    hours = new_requests.shape[1]
    result = []
    over = np.nan_to_num(np.where(shift >= np.log1p(effect), z / Z, 0.0))
    for series, measure in zip(*np.nonzero(over >= 1), strict=True):
        usual = float(np.nanmean(old[series, :, measure]))
        moved, score = float(shift[series, measure]), float(z[series, measure])
        margin = 2 * abs(moved / score)
        finding = Finding(
            series=int(series),
            kind="version",
            measure=MEASURES[measure],
            time=hours - 1,
            window=hours,
            value=float(np.exp(usual + moved)),
            expected=float(np.exp(usual)),
            lower=float(np.exp(usual - margin)),
            upper=float(np.exp(usual + margin)),
            requests=float(new_requests[series].sum()),
            z=score,
            as_large=0,
            past=0,  # the two versions were never compared before
            change_point=0,
            deployment=0,
        )
        result.append(finding)
    return sorted(result, key=lambda finding: (finding.series, -finding.z))


def more_failures(
    old_failed: Floats, old_requests: Floats, new_failed: Floats, new_requests: Floats
) -> Floats:
    """log p [series] of so many failures of the new version, given those of the old one; 0 where
    there are fewer than 5 or less than twice as many as expected. Arguments are sums, [series]."""
    expected = new_requests * (old_failed + 0.5) / np.maximum(old_requests, 1)
    log_p = log_tail(new_failed, expected, 1 / (old_failed + 0.5))
    is_more = (new_failed >= MIN_FAILED) & (new_failed >= MIN_RATIO * expected)
    return np.where(is_more & (log_p < np.log(ERRORS_P)), log_p, 0.0)
