"""Cacheable: the same reads again and again, which something remembered before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from zlib import crc32

from clew.analysis.findings.rule import Candidate, Change, Occurrence, Rule, Traffic, entry_key
from clew.analysis.findings.shapes import has_parameters
from clew.analysis.findings.trees import URL, TraceTree, TreeSpan

GROWN = 3.0  # reads of a trace, against the begin
MIN_READS = 0.5  # of a trace
MIN_TRACES = 50  # in the first and in the last third of the time
MIN_BEFORE = 3  # reads: what was never read is new, and was not remembered
REPEATED = 0.5  # share of the reads that ask for what another one of the looked-at traces asks for


class Cacheable(Rule):
    """See the module."""

    name = "cacheable"
    title = "Same reads again and again"
    meaning = "A transaction reads the same few things in nearly each trace, and did so far less before: what remembered them no longer does."
    thresholds = {
        "reads of a trace": f"{GROWN:.0f} times as many as at the begin, and {MIN_READS}",
        "reads that ask for what another trace asks for": f"{REPEATED:.0%}",
        "traces in the first and in the last third of the time": f"{MIN_TRACES}",
    }
    wrong_when = (
        "The cache was emptied on purpose and fills again, or a new feature reads more. What has always been read again and again is not listed: whether it may be "
        "remembered is not in its traces. Nor is what has been so for longer than the time that is looked at. Reads are told apart by their URL, or by "
        "statements that have their values in the text."
    )
    mend = "Look whether the cache is on, reachable and large enough, and how long entries live."
    advice = "{operation} reads “{subject}” {reads} times for each trace, {before} times before, mostly the same again. Look at what remembered it."
    sees_changes = True

    def candidates(self, traffic: Traffic) -> Iterable[Candidate]:
        for row in traffic.calls:
            entry = traffic.entries.get(entry_key(row))
            if entry is None or row["type"] not in ("service", "external", "database"):
                continue
            if min(entry["early_traces"], entry["late_traces"]) < MIN_TRACES:
                continue
            before = row["early_calls"] / entry["early_traces"]
            now = row["late_calls"] / entry["late_traces"]
            if row["early_calls"] >= MIN_BEFORE and _is_more(now, before):
                affected = row["traces"] * row["late_calls"] / row["calls"]
                yield Candidate(
                    entry_key(row), affected, row["newest"], row["total"], row["source"],
                    row["target"], {"reads": f"{now:.1f}", "before": f"{before:.2f}"}, before,
                )  # fmt: skip

    def examine(self, candidate: Candidate, tree: TraceTree) -> Iterator[Occurrence]:
        for span in tree.spans:
            if span.service != candidate.service or span.shape is None or not span.is_read:
                continue
            if span.is_error or not span.reaches(candidate.target):
                continue
            if text := _what_is_read(span):
                yield Occurrence(
                    span.service,
                    tree.server(span).name,
                    span.shape.text,
                    tree.waited([span]),
                    {**candidate.numbers, "asked": crc32(text.encode("utf-8", "replace"))},
                    tree.place(span),
                )

    def accepts(self, occurrences: Sequence[Occurrence]) -> bool:
        different = len({one.numbers["asked"] for one in occurrences})
        return 1 - different / len(occurrences) >= REPEATED

    def persists(self, change: Change, traffic: Traffic) -> bool:
        for row in traffic.calls:
            place = (row["environment"], row["source"], row["target"])
            entry = traffic.entries.get(entry_key(row))
            if entry is None or place != (change.environment, change.service, change.target):
                continue
            late = entry["late_traces"]
            if late < MIN_TRACES or _is_more(row["late_calls"] / late, change.usual or 0.0):
                return True
        return change.usual is None


def _is_more(now: float, before: float) -> bool:
    return now >= max(MIN_READS, GROWN * before)


def _what_is_read(span: TreeSpan) -> str:
    """What is the same where the same is read; empty where nothing says it."""
    if span.statement:
        return "" if has_parameters(span.statement) else span.statement
    return span.text(URL)


RULE = Cacheable()
