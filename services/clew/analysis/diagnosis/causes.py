"""Puts the evidence of a diagnosis together: which services are suspects, and of what kind."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from clew.analysis.diagnosis.evidence import EXPLAINED, CallGraph, Evidence, EvidenceName

CauseKind = Literal[
    "own", "link", "code", "missing", "process", "database", "external", "version", "value"
]

MAX_CAUSES = 5
# What each kind of evidence counts. Measured on labelled faults: log records say most, and
# structure changes in many services at once.
WEIGHTS: Mapping[EvidenceName, float] = {"time": 1.0, "structure": 0.3, "logs": 1.2, "process": 1.0}
# From which strength on evidence counts in full. Time: a share of B's mean duration; structure and
# process: deviations; logs: the logarithm of 20 records.
FULL_TIME, FULL_STRUCTURE, FULL_LOGS, FULL_PROCESS = 0.03, 8.0, 3.0, 10.0
# A score from which on there is a cause. Quiet windows of the labelled data stay below it.
THRESHOLD = 0.6

# What a service's calls take more, of what it takes most, from which on the calls are the cause.
MORE_CALLS = 0.25
# Spans in which a process waits for a connection to a database.
CONNECTS = re.compile(r"(?i)connect|acquire|checkout|pool")


@dataclass(frozen=True)
class Cause:
    """A suspect. `score`: the weighted sum of its evidence; `confidence`: its share of the scores
    of all suspects; `parts`: the score by kind of evidence."""

    service: str
    operation: str
    kind: CauseKind
    target: str
    score: float
    confidence: float
    parts: Mapping[EvidenceName, float]


def rank(
    evidence: Mapping[EvidenceName, Evidence],
    mean_duration: float,
    began: CallGraph | None = None,
) -> list[Cause]:
    """The suspects, the first one the strongest, also those below THRESHOLD. `mean_duration`: of
    the traces of B, in nanoseconds. `began`: the services whose errors each service hands up."""
    full: Mapping[EvidenceName, float] = {
        "time": FULL_TIME * mean_duration,
        "structure": FULL_STRUCTURE,
        "logs": FULL_LOGS,
        "process": FULL_PROCESS,
    }
    parts: dict[str, dict[EvidenceName, float]] = {}
    for name, part in evidence.items():
        greatest = max(part.strongest, full[name])
        for service, strength in part.strengths.items():
            if greatest > 0:
                parts.setdefault(service, {})[name] = WEIGHTS[name] * strength / greatest
    structure = evidence["structure"].missing
    for service, weight in structure.items():
        share = WEIGHTS["logs"] * weight / max(FULL_LOGS, *structure.values())
        shares = parts.setdefault(service, {})
        shares["structure"] = max(share, shares.get("structure", 0.0))
    scores = {service: sum(shares.values()) for service, shares in parts.items()}
    for service, callees in (began or {}).items():
        deeper = max(scores.get(callee, 0.0) for callee in callees)
        if service in parts:
            _hand_down(parts[service], evidence["time"], service, EXPLAINED * deeper)
    scores = {service: sum(shares.values()) for service, shares in parts.items()}
    order = sorted(scores, key=lambda service: (-scores[service], service))
    total = sum(scores.values())
    return [
        _cause(service, scores[service], scores[service] / total, parts[service], evidence)
        for service in order[:MAX_CAUSES]
    ]


def _hand_down(
    shares: dict[EvidenceName, float], time: Evidence, service: str, limit: float
) -> None:
    """What a service does otherwise because of errors from further down counts no more than
    `limit`; its own time is its own."""
    calls = time.calls.get(service, 0.0) / max(1.0, time.strengths.get(service, 0.0))
    parts: dict[EvidenceName, float] = {"time": calls, "structure": 1.0, "logs": 1.0}
    handed = {name: part * shares.get(name, 0.0) for name, part in parts.items()}
    total = sum(handed.values())
    if total > limit:
        for name in shares.keys() & handed.keys():
            shares[name] -= handed[name] * (1 - limit / total)


def _cause(
    service: str,
    score: float,
    confidence: float,
    parts: Mapping[EvidenceName, float],
    evidence: Mapping[EvidenceName, Evidence],
) -> Cause:
    details = {name: part.details.get(service, []) for name, part in evidence.items()}
    strongest = max(parts, key=lambda name: parts[name])
    kind, target = _kind(strongest, details, evidence["structure"].targets)
    return Cause(service, _operation(details), kind, target, score, confidence, parts)


def _kind(
    strongest: EvidenceName,
    details: Mapping[EvidenceName, list[dict[str, Any]]],
    targets: Mapping[str, str],
) -> tuple[CauseKind, str]:
    """The kind of a cause, and what is at the other end of it, if anything: a service, a database,
    a host. `targets`: the types of those whose calls fail."""
    for change in details["structure"]:
        if change["target"]:  # a target without spans fails
            is_database = targets.get(change["target"]) == "database"
            return ("database" if is_database else "external"), change["target"]
    if strongest == "process":
        return "process", ""
    if strongest == "time":
        hottest = max(details["time"], key=lambda change: change["extra_ms"])
        if _calls_more(details["time"], hottest["extra_ms"]):
            return "code", ""
        if _waits_for_a_connection(hottest):
            return "process", hottest["target"]
        if hottest["type"] == "service":
            return "link", hottest["target"]
        if hottest["type"] == "own":
            return "own", ""
        return ("database" if hottest["type"] == "database" else "external"), hottest["target"]
    changes = details["logs"] if strongest == "logs" else details["structure"]
    is_less = all(change["came"] < change["expected"] for change in changes)
    return ("missing" if is_less else "code"), ""


def _calls_more(changes: Sequence[Mapping[str, Any]], hottest: float) -> bool:
    """Whether a service takes longer because of what it calls: what it does between calls takes
    longer then too."""
    calls: float = sum(change["extra_ms"] for change in changes if change["type"] == "calls")
    return calls > MORE_CALLS * hottest


def _waits_for_a_connection(change: Mapping[str, Any]) -> bool:
    """Whether it takes a connection longer to be there, and no statement: a pool of the process is
    empty."""
    return change["type"] == "database" and CONNECTS.search(change["operation"]) is not None


def _operation(details: Mapping[EvidenceName, list[dict[str, Any]]]) -> str:
    """The operation in which the change shows most; empty if none does."""
    for name in ("time", "structure"):
        for change in details[name]:
            if change["operation"] and change.get("type", "own") == "own":
                return str(change["operation"])
    return ""
