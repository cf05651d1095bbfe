"""Hours that baselines leave out, and changes that people accepted."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from clew.analysis.alerts.rules import Labels, Maintenance
from clew.analysis.queries import WatchMarksRow
from clew.analysis.watching.learned import HOURS, LEVELS, Learned, learn
from clew.analysis.watching.marks import Mark, Marks
from clew.analysis.watching.series import History, Series

START = datetime(2026, 11, 2, tzinfo=UTC).timestamp()  # a Monday
END = START + HOURS * 3600
SHOP = Series(1, "service", "prod", "shop", "")
SHOP_LABELS = {"environment": "prod", "service": "shop"}


def episode(since: float, until: float, **changes: Any) -> WatchMarksRow:
    row: WatchMarksRow = {
        "alert": "a", "episode": 1, "since": since, "until": until,
        "labels": SHOP_LABELS | {"measure": "slow_rate"}, "changed": "", "feedback": "",
    }  # fmt: skip
    return row | changes  # type: ignore[return-value]


def mark(*episodes: WatchMarksRow, maintenance: tuple[Maintenance, ...] = ()) -> Mark:
    marks = Marks(START, END, episodes, maintenance, "Europe/Berlin")
    return marks.by_series({1: SHOP_LABELS, 2: {"service": "other"}}).get(1, Mark())


def test_episodes_are_left_out_from_their_hour_on() -> None:
    assert mark(episode(START + 5000, START + 9000)).excluded == ((START + 3600, START + 9000),)
    assert mark(episode(START + 3700, START + 9000)).excluded == ((START, START + 9000),)
    assert mark(episode(START + 5000, START + 9000, feedback="noise")).excluded == ()
    assert mark(episode(START + 5000, START + 9000, labels={"service": "mail"})) == Mark()
    (still,) = mark(episode(END - 20 * 86_400, 0)).excluded
    assert still[1] - still[0] == 86_400  # a day at most
    changed = datetime.fromtimestamp(START + 7200, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    accepted = mark(episode(START + 90_000, 0, changed=changed, feedback="accepted"))
    assert accepted == Mark((), START + 7200)


def test_maintenance_is_left_out() -> None:
    window = Maintenance(match=Labels(service="sh*"), every="Sun 02:00-04:00")
    intervals = mark(maintenance=(window,)).excluded
    assert len([start for start, _ in intervals if START <= start < END]) == 4
    assert intervals[0][1] - intervals[0][0] == 7200
    other = Maintenance(match=Labels(service="mail"), every="02:00-04:00")
    assert mark(maintenance=(other,)) == Mark()


def history(levels: Any, errors: Any = 0.0) -> History:
    count = np.full(HOURS, 600.0)
    nothing = np.zeros(HOURS)
    spread = 0.9 + 0.2 * np.array(LEVELS)
    failed = np.broadcast_to(np.asarray(errors, np.float64), (HOURS,)).copy()
    return History(SHOP, int(START), count, failed, levels[:, None] * spread, *[nothing] * 4)


def usual(learned: Learned) -> float:
    """p50 in nanoseconds on Mondays at 10."""
    return float(np.exp(learned.quantiles[0].expected(np.array([10])))[0, 0])


def test_what_is_left_out_is_not_learned() -> None:
    noise = np.exp(np.random.default_rng(3).normal(0, 0.02, HOURS))
    levels = 1e8 * noise
    bad = slice(HOURS - 400, HOURS)
    levels[bad] *= 3
    errors = np.zeros(HOURS)
    errors[bad] = 60
    interval = (START + (HOURS - 400) * 3600, END)
    learned = learn([history(levels, errors)], marks={1: Mark((interval,))})
    assert usual(learned) == pytest.approx(1e8, rel=0.03)
    assert learned.error_share[0] < 0.001
    assert usual(learn([history(levels, errors)])) > 2e8


def test_an_accepted_change_is_usual_at_once() -> None:
    noise = np.exp(np.random.default_rng(4).normal(0, 0.02, HOURS))
    levels = 1e8 * noise
    since = HOURS - 30
    levels[since:] *= 1.5
    errors = np.where(np.arange(HOURS) < since, 0.0, 12.0)
    before = learn([history(levels, errors)])
    assert usual(before) == pytest.approx(1e8, rel=0.03)
    accepted = START + since * 3600
    learned = learn([history(levels, errors)], marks={1: Mark(accepted=accepted)})
    assert usual(learned) == pytest.approx(1.5e8, rel=0.03)
    assert learned.error_share[0] == pytest.approx(12 / 600, rel=0.05)
    assert learned.slow_share[0] == pytest.approx(0.1, abs=0.03)
    assert learned.accepted[0] == accepted
