"""Queue lag: jobs and messages wait longer than they did, or their worker never rests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from statistics import median
from zlib import crc32

from clew.analysis.findings.rule import (
    SERVER_KINDS,
    Candidate,
    Occurrence,
    Rule,
    Traffic,
    entry_key,
)
from clew.analysis.findings.trees import TraceTree
from clew.analysis.traces.paths import CONSUMER, SERVER

BUSY = 0.9  # share of the time in which a worker works
AT_ONCE = 0.8  # of a worker's jobs: the next one begins at once
MIN_JOBS = 5  # of a worker, one after the other
LAG_S = 1.0
GROWN = 3.0  # lag, against the begin of the time that is looked at
MIN_EACH = 3  # messages of the begin and of the end


class QueueLag(Rule):
    """See the module."""

    name = "queue_lag"
    title = "Queue lag"
    meaning = "Messages wait in their queue for longer than before, or a worker has no pause between its jobs, so that what comes must wait."
    thresholds = {
        "start of the CONSUMER span after the end of its producer's": f"{GROWN:.0f} times that of the begin, and {LAG_S:.0f} s",
        "or a worker's traces": f"{BUSY / 2:.0%} of the time, and after {AT_ONCE:.0%} of {MIN_JOBS} jobs or more the next begins within {1 / BUSY - 1:.0%} of their time",
    }
    wrong_when = (
        "The delay is meant; the clocks of producer and consumer differ; a loop never rests on purpose, and has no queue. Producers in another trace are not seen; "
        "of workers only those are that begin a trace for each job and serve no requests."
    )
    mend = "Work faster on a job (the operation named here takes most of its time), or run more workers."
    advice = "{operation} takes most of the time of the jobs of {subject}, {job_s} s each. {what} Work faster, or run more workers."
    saves_time = False

    def candidates(self, traffic: Traffic) -> Iterable[Candidate]:
        for row in traffic.operations:
            entry = traffic.entries.get(entry_key(row))
            is_entry = (row["service"], row["operation"]) == entry_key(row)[1:]
            if entry is None or not is_entry or row["kind"] in SERVER_KINDS:
                continue
            if entry["total"] / 1e9 >= BUSY / 2 * traffic.seconds:
                yield Candidate(
                    entry_key(row), row["traces"], row["newest"], entry["total"], row["service"],
                    numbers={"middle": 0.0},
                )  # fmt: skip
        for call in traffic.calls:
            if call["type"] == "consumed":
                traces = dict(call["oldest"]) | dict(call["newest"][-15:])
                middle = (traffic.until - traffic.seconds / 2) * 1e9
                yield Candidate(
                    entry_key(call), call["traces"], tuple(traces.items()), call["total"],
                    call["target"], call["source"], {"middle": middle},
                )  # fmt: skip

    def examine(self, candidate: Candidate, tree: TraceTree) -> Iterator[Occurrence]:
        middle = float(candidate.numbers["middle"])
        if not middle:
            yield from _job(tree)
            return
        for span in tree.spans:
            above = tree.parent(span)
            if span.service != candidate.service or span.code != CONSUMER or above is None:
                continue
            lag = max(0, span.start - above.end) / 1e9
            yield Occurrence(
                span.service,
                span.name,
                candidate.target,
                0.0,
                {
                    "late_s" if span.start >= middle else "early_s": lag,
                    "job_s": span.duration / 1e9,
                    "what": "They wait longer than they did.",
                },
            )

    def accepts(self, occurrences: Sequence[Occurrence]) -> bool:
        if any("worker" in one.numbers for one in occurrences):
            return _is_busy(occurrences)
        early, late = (
            [float(one.numbers[name]) for one in occurrences if name in one.numbers]
            for name in ("early_s", "late_s")
        )
        if min(len(early), len(late)) < MIN_EACH:
            return False
        return median(late) >= max(LAG_S, GROWN * median(early))


def _job(tree: TraceTree) -> Iterator[Occurrence]:
    """A trace that is a worker's job, at the operation that takes most of its time."""
    job = tree.entry
    if job.code == SERVER:
        return
    slowest = tree.server(max(tree.spans, key=lambda span: tree.own_times[span.row]))
    yield Occurrence(
        slowest.service,
        slowest.name,
        job.service,
        0.0,
        {
            "worker": crc32(job.instance.encode("utf-8", "replace")),
            "start": job.start,
            "end": job.end,
            "job_s": job.duration / 1e9,
            "what": "Their worker never rests, so that others wait.",
        },
        tree.place(slowest),
    )


def _is_busy(jobs: Sequence[Occurrence]) -> bool:
    """Whether every worker has jobs one after the other, without a pause."""
    workers: dict[float, list[Occurrence]] = {}
    for job in jobs:
        workers.setdefault(float(job.numbers["worker"]), []).append(job)
    several = [group for group in workers.values() if len(group) >= MIN_JOBS]
    return bool(several) and all(_busy_share(group) >= AT_ONCE for group in several)


def _busy_share(jobs: Sequence[Occurrence]) -> float:
    """Share of the jobs after which the next one began at once. Where traces are sampled, the jobs of
    half a minute follow one another, and then none for a while."""
    times = sorted((float(job.numbers["start"]), float(job.numbers["end"])) for job in jobs)
    at_once = [
        later[0] - earlier[1] <= (1 / BUSY - 1) * (earlier[1] - earlier[0])
        for earlier, later in pairwise(times)
    ]
    return sum(at_once) / len(at_once)


RULE = QueueLag()
