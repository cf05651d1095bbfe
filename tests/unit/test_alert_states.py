"""The states of an alert: the whole table, and what holds of every sequence of verdicts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clew.analysis.alerts.states import (
    CALM_SECONDS,
    FLAPPING_FIRINGS,
    FLAPPING_SECONDS,
    AlertState,
    State,
    Timing,
    Transition,
    advance,
)

AT = 100_000.0
HELD = Timing(hold=300, keep=600, reopen=1800)
AT_ONCE = Timing(hold=0, keep=0, reopen=1800)

OK, PENDING, FIRING = State.OK, State.PENDING, State.FIRING
RECOVERING, RESOLVED = State.RECOVERING, State.RESOLVED

# state, seconds in it, whether the rule holds → the next state and what people are told
TABLE = [
    (HELD, OK, 60, False, OK, None),
    (HELD, OK, 60, True, PENDING, None),
    (HELD, PENDING, 299, True, PENDING, None),
    (HELD, PENDING, 300, True, FIRING, Transition.FIRED),
    (HELD, PENDING, 299, False, OK, None),
    (HELD, PENDING, 300, False, OK, None),
    (HELD, FIRING, 60, True, FIRING, None),
    (HELD, FIRING, 60, False, RECOVERING, None),
    (HELD, RECOVERING, 599, True, FIRING, None),
    (HELD, RECOVERING, 599, False, RECOVERING, None),
    (HELD, RECOVERING, 600, False, RESOLVED, Transition.RESOLVED),
    (HELD, RECOVERING, 600, True, FIRING, None),
    (HELD, RESOLVED, 1799, False, RESOLVED, None),
    (HELD, RESOLVED, 1800, False, OK, None),
    (HELD, RESOLVED, 1799, True, PENDING, None),
    (AT_ONCE, OK, 60, True, FIRING, Transition.FIRED),
    (AT_ONCE, PENDING, 0, True, FIRING, Transition.FIRED),
    (AT_ONCE, FIRING, 60, False, RESOLVED, Transition.RESOLVED),
    (AT_ONCE, RECOVERING, 0, False, RESOLVED, Transition.RESOLVED),
    (AT_ONCE, RESOLVED, 1799, True, FIRING, Transition.REOPENED),
    (AT_ONCE, RESOLVED, 1800, True, FIRING, Transition.FIRED),
]


def in_state(state: State, seconds: float) -> AlertState:
    """An alert that has been in a state for so many seconds at AT."""
    resolved_at = AT - seconds if state is RESOLVED else 0.0
    episode = 1 if state in (FIRING, RECOVERING, RESOLVED) else 0
    return AlertState(state, AT - seconds, episode=episode, resolved_at=resolved_at)


@pytest.mark.parametrize(("timing", "state", "seconds", "holds", "after", "told"), TABLE)
def test_each_row_of_the_table(
    timing: Timing,
    state: State,
    seconds: float,
    holds: bool,
    after: State,
    told: Transition | None,
) -> None:
    alert, transition = advance(in_state(state, seconds), holds, AT, timing)
    assert (alert.state, transition) == (after, told)


def test_the_table_has_every_state_with_both_verdicts() -> None:
    assert {(row[1], row[3]) for row in TABLE} == {
        (state, holds) for state in State for holds in (True, False)
    }


@pytest.mark.parametrize("state", State)
def test_what_cannot_be_judged_keeps_its_state(state: State) -> None:
    alert = in_state(state, 1e6)
    assert advance(alert, None, AT, HELD) == (alert, None)


@pytest.mark.parametrize("state", State)
def test_a_verdict_of_an_earlier_time_changes_nothing(state: State) -> None:
    alert = in_state(state, -60)
    assert advance(alert, True, AT, AT_ONCE) == advance(alert, False, AT, AT_ONCE) == (alert, None)


def test_an_alert_that_fires_soon_after_it_was_resolved_continues_its_episode() -> None:
    alert = AlertState(RESOLVED, AT, episode=3, firing_since=AT - 900, resolved_at=AT)
    pending, _ = advance(alert, True, AT + 1700, HELD)
    fired, transition = advance(pending, True, AT + 2000, HELD)
    assert transition is Transition.REOPENED
    assert (fired.episode, fired.firing_since) == (3, AT - 900)


def fire_every(seconds: float, times: int) -> tuple[AlertState, list[Transition]]:
    """An alert that fires for a minute every so many seconds."""
    alert, messages = AlertState(), []
    for number in range(times):
        for offset, holds in ((0, True), (60, False)):
            alert, transition = advance(alert, holds, AT + number * seconds + offset, AT_ONCE)
            if transition is not None:
                messages.append(transition)
    return alert, messages


@pytest.mark.parametrize("seconds", [300, 1800, 80 * 60])
def test_a_flapping_alert_says_so_once_and_then_that_it_is_over(seconds: float) -> None:
    alert, messages = fire_every(seconds, times=20)
    assert messages.count(Transition.FLAPPING) == 1
    assert messages[-1] is Transition.FLAPPING
    assert len(messages) == 2 * (FLAPPING_FIRINGS - 1) + 1
    quiet, transition = advance(alert, False, alert.resolved_at + CALM_SECONDS - 1, AT_ONCE)
    assert transition is None
    calm, transition = advance(quiet, False, alert.resolved_at + CALM_SECONDS, AT_ONCE)
    assert (calm.state, calm.is_flapping, transition) == (OK, False, Transition.RESOLVED)


def test_rare_episodes_are_not_flapping() -> None:
    _, messages = fire_every(FLAPPING_SECONDS / 3, times=10)
    assert messages == [Transition.FIRED, Transition.RESOLVED] * 10


VERDICTS = st.lists(st.tuples(st.integers(1, 4000), st.sampled_from([True, False, None])))
TIMINGS = st.builds(
    Timing,
    hold=st.sampled_from([0.0, 120.0, 600.0]),
    keep=st.sampled_from([0.0, 600.0]),
    reopen=st.sampled_from([0.0, 1800.0]),
)


@given(TIMINGS, VERDICTS)
@settings(max_examples=300, deadline=None)
def test_any_sequence_of_verdicts(timing: Timing, verdicts: list[tuple[int, bool | None]]) -> None:
    """What people are told alternates: something began, then that it is over. An alert that cannot
    be judged does not change; a state that was read back continues as if it had not been stored."""
    alert, at, is_open = AlertState(), AT, False
    for seconds, holds in verdicts:
        at += seconds
        before = alert
        alert, transition = advance(replace(before), holds, at, timing)
        if holds is None:
            assert (alert, transition) == (before, None)
        if transition is Transition.RESOLVED:
            assert is_open
            is_open = False
        elif transition is Transition.FLAPPING:
            is_open = True
        elif transition is not None:
            assert not is_open
            is_open = True
        assert alert.episode - before.episode in (0, 1)
        assert alert.is_open == (alert.state in (FIRING, RECOVERING))
        if alert.is_open and before.is_open:
            assert alert.firing_since == before.firing_since
        if not alert.is_flapping:
            assert is_open == alert.is_open
