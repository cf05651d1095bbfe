"""Retries: a call that failed is made again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise

from clew.analysis.findings.rule import Candidate, Numbers, Occurrence, Rule, Traffic, entry_key
from clew.analysis.findings.trees import TraceTree

STORM = 0.2  # calls that failed, of all
MIN_FAILED = 3


class Retries(Rule):
    """See the module."""

    name = "retries"
    title = "Retries"
    meaning = "A span makes the same call again after it failed; where that is often, a storm keeps the callee down."
    thresholds = {
        "calls that failed": f"{MIN_FAILED}",
        "a storm": f"more than {STORM:.0%} of the calls failed",
        "no backoff": "the next attempt begins within twice the time that the failed one took",
    }
    wrong_when = (
        "The calls are hedged: sent a second time before the first was answered (calls at the same time do not count), or the "
        "failed one and the next are different work with the same method and path."
    )
    mend = "Wait longer before each attempt, with jitter; allow few attempts and a budget of retries; break the circuit."
    advice = (
        "{operation} makes {attempts} attempts at “{subject}” where one fails; {failed_share} of all calls fail. {gap_ms} ms "
        "lie between an attempt and the next, {wasted_ms} ms pass until the last one. Wait longer before each attempt, with "
        "jitter and a limit, and stop asking while most fail."
    )
    saves_time = False  # what it costs the callee is not seen in the caller's time

    def candidates(self, traffic: Traffic) -> Iterable[Candidate]:
        for row in traffic.calls:
            if row["errors"] >= MIN_FAILED and row["calls"] > row["traces"] and row["source"]:
                share = row["errors"] / row["calls"]
                numbers: Numbers = {"failed_share": f"{share:.0%}", "storm": float(share > STORM)}
                yield Candidate(
                    entry_key(row), row["errors"], row["failing"], row["total"] * share,
                    row["source"], row["target"], numbers,
                )  # fmt: skip

    def examine(self, candidate: Candidate, tree: TraceTree) -> Iterator[Occurrence]:
        for parent, shape, alike in tree.repeated_calls(2):
            if parent.service != candidate.service or not alike[0].reaches(candidate.target):
                continue
            retried = [
                (failed, attempt)
                for failed, attempt in pairwise(alike)
                if failed.is_error and attempt.start >= failed.end
            ]
            if not retried:
                continue
            first, last = retried[0][0], retried[-1][1]
            gap = sum(attempt.start - failed.end for failed, attempt in retried) / len(retried)
            wasted = last.start - first.start
            yield Occurrence(
                parent.service,
                tree.server(parent).name,
                shape.text,
                wasted if last.row in tree.critical else 0.0,
                {
                    "attempts": len(retried) + 1,
                    "gap_ms": gap / 1e6,
                    "wasted_ms": wasted / 1e6,
                    **candidate.numbers,
                },
                tree.place(first),
            )


RULE = Retries()
