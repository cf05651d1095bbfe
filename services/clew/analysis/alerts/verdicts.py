"""What a rule says of a series at a time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from clew.analysis.alerts.states import Known


@dataclass(frozen=True)
class Verdict:
    """A rule's judgement of one set of labels at `at`, in seconds since 1970.

    `holds`: whether the rule's condition holds, None where it cannot be judged; `known` says why.
    `value`, `expected`, `lower` and `upper` are in the measure's unit (seconds, shares, requests a
    second), None where there is none; `requests`: what was counted; `window`: over how many
    seconds. `as_large` of `past` windows of the past were as far off. `facts`: what else there is
    to say, as texts by name; `examples`: ids of traces; `sql`: the statement that gives the value,
    `parameters` its parameters."""

    rule: str
    labels: Mapping[str, str]
    at: float
    holds: bool | None
    known: Known = Known.KNOWN
    headline: str = ""
    measure: str = ""
    value: float | None = None
    expected: float | None = None
    lower: float | None = None
    upper: float | None = None
    requests: float = 0.0
    z: float | None = None
    window: float = 0.0
    as_large: int | None = None
    past: int | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
    examples: tuple[str, ...] = ()
    sql: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)

    @property
    def alert(self) -> str:
        """The id of the alert, 16 hex digits: the same for the same rule and labels, for good."""
        return alert_id(self.rule, self.labels)


def alert_id(rule: str, labels: Mapping[str, str]) -> str:
    """The id of the alert of a rule and labels."""
    text = json.dumps([rule, sorted(labels.items())], ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]
