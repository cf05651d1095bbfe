"""A third party that is slower than it was, or fails more often."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from clew.analysis import queries
from clew.analysis.dependencies import FACTOR, MIN_CALLS, Failures, Judgement, Period, Z, judge
from clew.analysis.findings.rule import Candidate, Occurrence, Rule, Traffic, entry_key
from clew.analysis.findings.trees import TraceTree
from clew.analysis.traces.paths import CLIENT
from clew.analysis.traces.times import HOUR, datetime64_text

MINUTE = 60
HOSTS = 200


class ThirdParty(Rule):
    """See the module."""

    name = "third_party"
    title = "Slow or failing third party"
    meaning = "An external host takes longer, or fails more often, than at the same time of the seven days before."
    thresholds = {
        "against the same time of the days before": f"{Z:.0f} standard deviations and {FACTOR} times",
        "calls in the last hour, and on a day before": f"{MIN_CALLS}",
    }
    wrong_when = (
        "It is asked for more than before. Requests that it refuses (4xx) of fewer than three tenants do not count. Without three days that have calls, "
        "nothing is said, but where nine of ten calls fail."
    )
    mend = "Set a timeout and a circuit breaker, ask it at the same time as others or after the answer, keep its last answer; tell the provider."
    advice = "{subject}: {reason}. It takes {call_ms} ms of {operation}, usually {usual_ms} ms. Set a timeout, and answer without it where you can."
    saves_time = False

    def candidates(self, traffic: Traffic) -> Iterable[Candidate]:
        calls = [row for row in traffic.calls if row["type"] == "external"]
        judged = _judged(traffic) if calls else {}
        for row in calls:
            if judgement := judged.get(row["target"]):
                p50 = judgement.usual.p50 if judgement.usual else None
                yield Candidate(
                    entry_key(row), row["traces"], row["newest"], row["total"], row["source"],
                    row["target"], {"usual": p50 or 0.0, "reason": judgement.reason},
                )  # fmt: skip

    def examine(self, candidate: Candidate, tree: TraceTree) -> Iterator[Occurrence]:
        usual = float(candidate.numbers["usual"])
        for span in tree.spans:
            if span.service != candidate.service or span.code != CLIENT or span.callee:
                continue
            if span.shape is None or not span.reaches(candidate.target):
                continue
            if span.is_error or span.duration > FACTOR * usual:
                yield Occurrence(
                    span.service,
                    tree.server(span).name,
                    candidate.target,
                    max(0.0, tree.waited([span]) - usual) if usual else 0.0,
                    {
                        "call_ms": span.duration / 1e6,
                        "usual_ms": usual / 1e6,
                        "reason": candidate.numbers["reason"],
                    },
                    tree.place(span),
                )


def _judged(traffic: Traffic) -> dict[str, Judgement]:
    """By host, those that do worse than usual."""
    until = -(-traffic.until // MINUTE) * MINUTE
    window = {"start": _minute(until - HOUR), "end": _minute(until), "environment": None}
    days = traffic.source.rows(queries.EXTERNAL_DAYS, **window, limit=HOSTS)
    now = {row["host"]: row for row in days if row["day"] == 0}
    past: dict[str, list[Period]] = {}
    for row in days:
        if row["day"]:
            past.setdefault(row["host"], []).append(_period(row))
    worse = [host for host, row in now.items() if _is_worse(row, past.get(host, []), ())]
    if not worse:
        return {}
    failures: dict[str, list[Failures]] = {}
    for failed in traffic.source.rows(
        queries.EXTERNAL_FAILURES, **window, hosts=worse, limit=HOSTS * 10
    ):
        one = Failures(failed["status_class"], failed["errors"], failed["tenants"])
        failures.setdefault(failed["host"], []).append(one)
    judged = {
        host: _is_worse(now[host], past.get(host, []), failures.get(host, ())) for host in worse
    }
    return {host: judgement for host, judgement in judged.items() if judgement}


def _is_worse(
    row: queries.ExternalDaysRow, past: Iterable[Period], failures: Iterable[Failures]
) -> Judgement | None:
    judgement = judge(_period(row), list(past), list(failures))
    return judgement if judgement.status in ("degraded", "down") else None


def _period(row: queries.ExternalDaysRow) -> Period:
    p50, p95 = row["quantiles"]
    return Period(row["calls"], row["errors"], p50, p95)


def _minute(seconds: float) -> str:
    return datetime64_text(seconds)[:19]


RULE = ThirdParty()
