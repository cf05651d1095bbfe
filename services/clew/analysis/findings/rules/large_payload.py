"""Large payloads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from clew.analysis.findings.rule import Candidate, Occurrence, Rule, Traffic, entry_key
from clew.analysis.findings.trees import SIZES, TraceTree

BYTES = 300_000  # Sentry's
SLOW_NS = 100e6


class LargePayload(Rule):
    """See the module."""

    name = "large_payload"
    title = "Large payload"
    meaning = "A call between services carries a large body and takes long."
    thresholds = {"body": f"{BYTES // 1000} kB", "time": f"{SLOW_NS / 1e6:.0f} ms"}
    wrong_when = "The body is a download or an upload that must be as large as it is."
    mend = "Answer pages or only the fields that are needed; compress; send large objects from a store."
    advice = "“{subject}” carries {body_kb} kB and takes {call_ms} ms. Ask for pages or fewer fields, and compress."

    def candidates(self, traffic: Traffic) -> Iterable[Candidate]:
        for row in traffic.calls:
            if row["type"] in ("service", "external") and row["quantiles"][1] >= SLOW_NS:
                yield Candidate(
                    entry_key(row), row["traces"], row["slow"] or row["newest"], row["total"],
                    row["source"],
                )  # fmt: skip

    def examine(self, candidate: Candidate, tree: TraceTree) -> Iterator[Occurrence]:
        for span in tree.spans:
            if span.service != candidate.service or span.shape is None or span.duration < SLOW_NS:
                continue
            sizes = (span.attributes.get(name, "") for name in SIZES)
            size = max(
                (int(text) for text in sizes if text.isascii() and text.isdigit()), default=0
            )
            if size >= BYTES:
                yield Occurrence(
                    span.service,
                    tree.server(span).name,
                    span.shape.text,
                    tree.waited([span]) / 2,
                    {"body_kb": size / 1000, "call_ms": span.duration / 1e6},
                    tree.place(span),
                )


RULE = LargePayload()
