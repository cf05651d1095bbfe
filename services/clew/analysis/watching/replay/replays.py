"""All rules of a document over the last two weeks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from clew.analysis.alerts.rules import STANDING, Rule, RuleKind, Rules
from clew.analysis.alerts.states import Known
from clew.analysis.watching.judges.combined import resolve
from clew.analysis.watching.replay import metrics, requests, usual
from clew.analysis.watching.replay.past import MAX_NAMES, Past
from clew.analysis.watching.replay.tracks import (
    NO,
    UNKNOWN,
    YES,
    Episode,
    Holds,
    Track,
    episodes,
)
from clew.analysis.watching.standing import all_rules
from clew.analysis.watching.watcher import timing

DAYS = 14
# Seconds of CPU time after which no further rule is begun; of the clock where the process does more
# than this. By the clock alone, another process on the machine would decide what is answered.
MAX_SECONDS = 10.0
TOO_LONG = "this took too long: test fewer rules at once"
PRESENT = "a statement sees only what is there now, so its past cannot be told"

Replay = Callable[[Rule, Past], Iterator[Track]]
REPLAYS: Mapping[RuleKind, Replay] = {
    RuleKind.THRESHOLD: lambda rule, past: (
        metrics.replay_metric(rule, past) if rule.metric else requests.replay_threshold(rule, past)
    ),
    RuleKind.FORECAST: metrics.replay_forecast,
    RuleKind.BUDGET: requests.replay_budget,
    RuleKind.RATIO: requests.replay_ratio,
    RuleKind.ABSENCE: requests.replay_absence,
    RuleKind.SLO: requests.replay_burn,
    RuleKind.BASELINE: usual.replay_baseline,
    RuleKind.REGRESSION: usual.replay_regression,
}


@dataclass(frozen=True)
class RuleReplay:
    """What a rule would have done. `episodes`: the oldest first. `unjudged`: the labels of the
    series that it could say nothing of at any time, and why. `left_out`: how many series more it
    selects than were looked at. `none_because`: why nothing can be said of the rule at all."""

    rule: Rule
    series: int
    episodes: Sequence[Episode]
    unjudged: Sequence[tuple[Mapping[str, str], Known]] = ()
    left_out: int = 0
    none_because: str = ""


def replay(rules: Rules, past: Past) -> list[RuleReplay]:
    """What the rules of a document would have done, those that its `watch`, `regressions` and
    `budgets` stand for too. Raises StorageError."""
    began, used = time.monotonic(), time.process_time()
    tracks: dict[str, list[Track]] = {}
    reasons: dict[str, str] = {}
    listed = _listed(rules)
    for rule in listed:
        if rule.kind is RuleKind.SQL:
            reasons[rule.name] = PRESENT
        elif rule.kind in REPLAYS:
            if min(time.monotonic() - began, time.process_time() - used) > MAX_SECONDS:
                reasons[rule.name] = TOO_LONG
            else:
                tracks[rule.name] = list(REPLAYS[rule.kind](rule, past))
    complete = resolve(
        listed,
        tracks,
        lambda rule, parts: _joined(rule, parts, past),
        lambda track, others: _only_while(track, others, past),
    )
    return [
        _replayed(rule, complete[rule.name], reasons.get(rule.name, ""), rules, past)
        for rule in listed
    ]


def _listed(rules: Rules) -> list[Rule]:
    """The rules that the document itself asks for."""
    is_listed = {
        RuleKind.BASELINE: bool(rules.watch),
        RuleKind.REGRESSION: bool(rules.regressions),
        RuleKind.BUDGET: True,
    }
    return [
        rule
        for rule in all_rules(rules)
        if not rule.name.startswith(STANDING) or is_listed[rule.kind]
    ]


def _replayed(
    rule: Rule, tracks: Sequence[Track], reason: str, rules: Rules, past: Past
) -> RuleReplay:
    times = timing(rule, rules)
    results = [one for track in tracks for one in episodes(track, past.start, times)]
    unjudged = [(track.labels, track.known) for track in tracks if (track.holds == UNKNOWN).all()]
    subjects = {frozenset(track.labels.items() - {("measure", track.measure)}) for track in tracks}
    selected = len(past.select(rule.select, MAX_NAMES)) if rule.select and not rule.metric else 0
    return RuleReplay(
        rule,
        len(subjects),
        sorted(results, key=lambda episode: episode.since),
        unjudged,
        max(0, selected - len(subjects)),
        reason or ("" if tracks else _no_series(rule, past)),
    )


def _no_series(rule: Rule, past: Past) -> str:
    if rule.kind is RuleKind.SLO:
        names = [d.name for d in past.definitions if d.slo is not None]
        known = f"; those with an slo are {', '.join(names)}" if names else ""
        return f"{rule.slo!r} had no occurrence, or has no slo{known}"
    return "no stored series is one that the rule names"


def _joined(rule: Rule, parts: Sequence[Sequence[Track]], past: Past) -> Track:
    """The track of a rule that rests on others."""
    values = [_any([track.holds for track in part], past) for part in parts]
    match rule.kind:
        case RuleKind.ANY:
            holds = _any(values, past)
        case RuleKind.ALL:
            holds = _not(_any([_not(value) for value in values], past))
        case _:
            holds = _not(values[0])
    nothing = np.full(past.minutes, np.nan)
    return Track({}, "", holds, nothing, nothing)


def _only_while(track: Track, others: Sequence[Track], past: Past) -> Track:
    condition = _any([other.holds for other in others], past)
    is_limited = (track.holds == YES) & (condition != YES)
    return replace(track, holds=np.where(is_limited, condition, track.holds))


def _any(parts: Sequence[Holds], past: Past) -> Holds:
    """Whether one of several holds: unknown where none does and one is unknown."""
    holds: Holds = np.full(past.minutes, NO)
    for part in parts:
        holds = np.where((holds == YES) | (part == YES), YES, np.minimum(holds, part))
    return holds


def _not(holds: Holds) -> Holds:
    return np.where(holds == UNKNOWN, UNKNOWN, YES - holds)
