"""A cache that is asked and seldom has it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise

from clew.analysis.findings.rule import Candidate, Occurrence, Rule, Traffic, entry_key
from clew.analysis.findings.trees import SYSTEM, TraceTree, TreeSpan

CACHES = ("redis", "memcached", "valkey", "keydb", "dragonfly")
GETS = ("GET", "MGET", "HGET", "HMGET", "HGETALL", "GETS")
SHARE = 0.5  # of the looked-up traces that query afterwards


class LowHitRate(Rule):
    """See the module."""

    name = "low_hit_rate"
    title = "Low hit rate of a cache"
    meaning = "After a cache was asked, the database is asked under the same span, in most traces."
    thresholds = {"traces with a query after the cache's GET": f"more than {SHARE:.0%}"}
    wrong_when = (
        "The query is of something else than what the cache was asked for: only their order under one span is seen; or absent "
        "keys are cached on purpose."
    )
    mend = "Keep entries longer, fill them on writing, warm them after a deployment; look at what the keys contain."
    advice = (
        "{operation} asks the cache ({cache}) and then runs “{subject}”, {query_ms} ms: the cache seldom has it. Look at the keys "
        "and how long entries live."
    )
    least_share = SHARE

    def candidates(self, traffic: Traffic) -> Iterable[Candidate]:
        for row in traffic.calls:
            is_get = row["summary"].upper().split(" ")[0] in GETS
            if row["type"] == "database" and is_get and row["target"].split("/")[0] in CACHES:
                yield Candidate(
                    entry_key(row), row["traces"], row["newest"], row["total"], row["source"]
                )

    def examine(self, candidate: Candidate, tree: TraceTree) -> Iterator[Occurrence]:
        for parent, children in tree.families():
            if parent.service != candidate.service:
                continue
            for first, second in pairwise(children):
                if not _is_get(first) or not second.statement or not second.is_read:
                    continue
                if second.text(SYSTEM) in CACHES or second.shape is None or first.is_error:
                    continue
                if second.start >= first.end:
                    yield Occurrence(
                        parent.service,
                        tree.server(parent).name,
                        second.shape.text,
                        tree.waited([second]),
                        {"cache": first.text(SYSTEM), "query_ms": second.duration / 1e6},
                        tree.place(second),
                    )


def _is_get(span: TreeSpan) -> bool:
    words = (span.statement or span.name).upper().split(" ")
    return span.text(SYSTEM) in CACHES and words[0] in GETS


RULE = LowHitRate()
