"""The states of an alert, and what leads from one to the next, for every kind of rule.

                 ┌──────────────────────── quiet for `reopen` ───────────────────┐
                 ▼                                                               │
     ┌──────► OK ──holds──► PENDING ──for──► FIRING ──no longer──► RECOVERING ──keep──► RESOLVED
     │                         │                ▲                     │          firing   │
     └──────── no longer ──────┘                └───── holds again ───┘                   │
                                                └── holds within `reopen`: the same episode ┘

An episode lasts from FIRING to RESOLVED. A verdict of None, when the rule cannot be judged, leaves
the state as it is: neither missing data nor an error of the rule ends an alert or begins one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

FLAPPING_FIRINGS = 4  # an alert that fires so often
FLAPPING_SECONDS = 6 * 3600.0  # within so many seconds is flapping: one message says so
CALM_SECONDS = FLAPPING_SECONDS / FLAPPING_FIRINGS  # without firing, and it is flapping no more


class State(StrEnum):
    """What an alert is in. `recovering` still counts as firing for those who look."""

    OK = "ok"
    PENDING = "pending"
    FIRING = "firing"
    RECOVERING = "recovering"
    RESOLVED = "resolved"


class Known(StrEnum):
    """What is known of an alert's series, apart from its state."""

    KNOWN = "known"
    NO_DATA = "no_data"  # the service sent nothing
    LATE = "late"  # clew has not received or loaded it yet
    ERROR = "error"  # the rule cannot be evaluated
    LEARNING = "learning"  # too little history for a baseline


class Transition(StrEnum):
    """What people are told of. Other changes of state are silent."""

    FIRED = "fired"
    REOPENED = "reopened"
    FLAPPING = "flapping"
    REPEATED = "repeated"  # it still fires: no change of state, but told again
    RESOLVED = "resolved"


@dataclass(frozen=True)
class Timing:
    """How long, in seconds, a rule must hold before it fires (`hold`), must not hold before its
    alert is resolved (`keep`), and a resolved alert can be opened again (`reopen`)."""

    hold: float = 0.0
    keep: float = 600.0
    reopen: float = 1800.0


@dataclass(frozen=True)
class AlertState:
    """The state of one alert: of a rule and a set of labels.

    `since`: when the state began. `episode`: the number of the last episode, 0 before the first
    one; `firing_since`: when that episode began; `resolved_at`: when it ended. `firings`: when it
    fired or was opened again in the last FLAPPING_SECONDS. `is_flapping`: a message said so, and no
    other goes out until the alert has been resolved for CALM_SECONDS."""

    state: State = State.OK
    since: float = 0.0
    episode: int = 0
    firing_since: float = 0.0
    resolved_at: float = 0.0
    firings: tuple[float, ...] = ()
    is_flapping: bool = False

    @property
    def is_open(self) -> bool:
        """Whether an episode is under way."""
        return self.state in (State.FIRING, State.RECOVERING)


def advance(
    alert: AlertState, holds: bool | None, at: float, timing: Timing
) -> tuple[AlertState, Transition | None]:
    """The state after the verdict of a time, and what to tell of it.

    `holds`: whether the rule's condition holds at `at`, None where it cannot be judged. Verdicts of
    one alert come in the order of their times; one of an earlier time changes nothing."""
    if holds is None or at < alert.since:
        return alert, None
    alert = _forget_old_firings(alert, at)
    if alert.is_flapping and not holds and not alert.is_open and _is_calm(alert, at):
        calm = replace(alert, state=State.OK, since=at, is_flapping=False)
        return calm, Transition.RESOLVED
    elapsed = at - alert.since
    match alert.state, holds:
        case ((State.OK | State.RESOLVED), True) if timing.hold > 0:
            return replace(alert, state=State.PENDING, since=at), None
        case ((State.OK | State.RESOLVED), True):
            return _fire(alert, at, at, timing)
        case State.RESOLVED, False if elapsed >= timing.reopen:
            return replace(alert, state=State.OK, since=at), None
        case State.PENDING, True if elapsed >= timing.hold:
            return _fire(alert, alert.since, at, timing)
        case State.PENDING, False:
            return replace(alert, state=State.OK, since=at), None
        case State.FIRING, False if timing.keep > 0:
            return replace(alert, state=State.RECOVERING, since=at), None
        case State.FIRING, False:
            return _resolve(alert, at)
        case State.RECOVERING, True:
            return replace(alert, state=State.FIRING, since=at), None
        case State.RECOVERING, False if elapsed >= timing.keep:
            return _resolve(alert, at)
    return alert, None


def _fire(
    alert: AlertState, since: float, at: float, timing: Timing
) -> tuple[AlertState, Transition | None]:
    """Begin an episode, or open the last one again when it ended a short time before `since`."""
    reopens = alert.episode > 0 and since - alert.resolved_at < timing.reopen
    firings = (*alert.firings, at)
    fired = replace(
        alert,
        state=State.FIRING,
        since=at,
        episode=alert.episode + (not reopens),
        firing_since=alert.firing_since if reopens else at,
        firings=firings,
        is_flapping=alert.is_flapping or len(firings) >= FLAPPING_FIRINGS,
    )
    if alert.is_flapping:
        return fired, None
    if fired.is_flapping:
        return fired, Transition.FLAPPING
    return fired, Transition.REOPENED if reopens else Transition.FIRED


def _resolve(alert: AlertState, at: float) -> tuple[AlertState, Transition | None]:
    resolved = replace(alert, state=State.RESOLVED, since=at, resolved_at=at)
    return resolved, None if alert.is_flapping else Transition.RESOLVED


def _is_calm(alert: AlertState, at: float) -> bool:
    return at - alert.resolved_at >= CALM_SECONDS


def _forget_old_firings(alert: AlertState, at: float) -> AlertState:
    firings = tuple(time for time in alert.firings if at - time < FLAPPING_SECONDS)
    return alert if firings == alert.firings else replace(alert, firings=firings)
