"""Service level objectives of OpenSLO and of Sloth, as definitions of transactions and rules.

What a query of Prometheus counts cannot be read out of it. So an objective becomes one of the
requests that come in to its service, and a note says what the query was: name the operation in
`match` where it counted a part of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel

from clew.analysis import documents
from clew.analysis.alerts.quantities import parse_duration
from clew.analysis.alerts.rules import Rule, Severity
from clew.analysis.documents import MAX_BYTES, DocumentError, DocumentProblem
from clew.analysis.transactions.definitions import Definition

Model = TypeVar("Model", bound=BaseModel)

PERIOD_DAYS = (28, 30)  # of error budgets; clew's are of 30 days
MAX_SLOS = 100
SEVERITIES: tuple[Severity, ...] = ("page", "ticket")
WHAT_IT_READS = (
    "write an OpenSLO document (apiVersion: openslo/v1, kind: SLO) or one of Sloth "
    "(version: prometheus/v1)"
)


@dataclass
class Imported:
    """`notes`: what the documents said and clew cannot take over."""

    definitions: list[Definition] = field(default_factory=list)
    rules: list[Rule] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Objective:
    name: str
    service: str
    objective: float
    queries: Sequence[str]
    severities: Sequence[Severity] = SEVERITIES
    labels: Mapping[str, str] = field(default_factory=dict)
    runbook: str | None = None
    notes: Sequence[str] = ()


def import_objectives(text: bytes, source: str = "the file") -> Imported:
    """Reads a text with YAML documents. Raises DocumentError, in which `source` names the text."""
    if len(text) > MAX_BYTES:
        raise _error(source, "", f"has more than {MAX_BYTES} bytes")
    try:
        listed = [one for one in yaml.safe_load_all(text) if one is not None]
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise _error(source, "", f"is no YAML: {' '.join(str(error).split())[:200]}") from error
    imported = Imported()
    names: set[str] = set()
    for number, document in enumerate(listed):
        for place, one in _objectives(document, f"document {number + 1}", source):
            if one.name in names:
                raise _error(source, place, f"{one.name!r} is there twice: rename one")
            names.add(one.name)
            if len(names) > MAX_SLOS:
                raise _error(source, place, f"has more than {MAX_SLOS} objectives")
            _add(imported, one, place, source)
    if not imported.definitions:
        raise _error(source, "", f"has no objective: {WHAT_IT_READS}")
    return imported


def _add(imported: Imported, one: _Objective, place: str, source: str) -> None:
    where = f"{source}: {place}"
    fields = {
        "name": one.name,
        "match": {"service": one.service},
        "slo": {"objective": one.objective},
    }
    definition = _read(Definition, fields, where)
    for severity in one.severities:
        rule = {
            "name": f"{one.name} burns its budget ({severity})",
            "slo": one.name,
            "severity": severity,
            "labels": dict(one.labels),
        }
        runbook = {"runbook": one.runbook} if one.runbook else {}
        imported.rules.append(_read(Rule, rule | runbook, where))
    imported.definitions.append(definition)
    queries = "; ".join(" ".join(query.split()) for query in one.queries)
    if queries:
        imported.notes.append(f"{one.name}: all requests of {one.service} count, not: {queries}")
    imported.notes += [f"{one.name}: {note}" for note in one.notes]


def _read(model: type[Model], fields: Mapping[str, Any], source: str) -> Model:
    text = json.dumps(fields, default=str).encode("utf-8", "replace")
    return documents.read(text, "json", model, source)


def _objectives(document: Any, place: str, source: str) -> Iterator[tuple[str, _Objective]]:
    """The objectives of a document, and where they stand."""
    if not isinstance(document, dict):
        raise _error(source, place, WHAT_IT_READS)
    version, kind = str(document.get("apiVersion", "")), document.get("kind")
    if version.startswith("openslo/"):
        if kind == "SLO":
            yield from _openslo(document, place, source)
        return  # services, indicators and policies say nothing that clew needs
    if kind == "PrometheusServiceLevel":  # Sloth's for Kubernetes
        yield from _sloth(_mapping(document.get("spec"), f"{place}: spec", source), place, source)
    elif str(document.get("version", "")).startswith("prometheus/"):
        yield from _sloth(document, place, source)
    else:
        raise _error(source, place, WHAT_IT_READS)


def _openslo(
    document: Mapping[str, Any], place: str, source: str
) -> Iterator[tuple[str, _Objective]]:
    spec = _mapping(document.get("spec"), f"{place}: spec", source)
    name = _mapping(document.get("metadata"), f"{place}: metadata", source).get("name")
    objectives = spec.get("objectives")
    if not isinstance(objectives, list) or not objectives:
        raise _error(source, f"{place}: spec.objectives", "write a list with a target")
    notes = [_period(window.get("duration")) for window in _mappings(spec.get("timeWindow"))]
    for number, objective in enumerate(_mappings(objectives)):
        where = f"{place}: spec.objectives[{number}]"
        target = objective.get("target")
        if target is None and objective.get("targetPercent") is not None:
            target = _number(objective["targetPercent"], f"{where}.targetPercent", source) / 100
        if "value" in objective:
            notes.append(f"its threshold {objective['value']} is not taken over: write latency_ms")
        parts = [str(name or ""), str(objective.get("displayName") or number + 1)]
        yield (
            where,
            _Objective(
                " ".join(parts if len(objectives) > 1 else parts[:1]),
                _text(spec.get("service"), f"{place}: spec.service", source),
                _number(target, f"{where}.target", source),
                list(_queries(spec.get("indicator"))),
                notes=[note for note in notes if note],
            ),
        )


def _sloth(
    document: Mapping[str, Any], place: str, source: str
) -> Iterator[tuple[str, _Objective]]:
    service = _text(document.get("service"), f"{place}: service", source)
    for number, slo in enumerate(_mappings(document.get("slos"))):
        where = f"{place}: slos[{number}]"
        alerting = next(_mappings(slo.get("alerting")), {})
        severities = [one for one in SEVERITIES if not _disabled(alerting, one)]
        labels = dict(next(_mappings(document.get("labels")), {}))
        labels |= next(_mappings(slo.get("labels")), {})
        annotations = next(_mappings(alerting.get("annotations")), {})
        percent = _number(slo.get("objective"), f"{where}.objective", source)
        yield (
            where,
            _Objective(
                f"{service} {_text(slo.get('name'), f'{where}.name', source)}",
                service,
                round(percent / 100, 9),
                list(_queries(slo.get("sli"))),
                severities,
                {str(key): str(text) for key, text in labels.items()},
                annotations.get("runbook") or annotations.get("runbook_url"),
            ),
        )


def _disabled(alerting: Mapping[str, Any], severity: str) -> bool:
    for name in (f"{severity}_alert", f"{severity}Alert"):
        if next(_mappings(alerting.get(name)), {}).get("disable"):
            return True
    return False


def _period(duration: Any) -> str:
    """A note on a time window that clew's budgets do not have."""
    try:
        days = parse_duration(str(duration)) / 86_400
    except ValueError:
        days = 0.0
    if days in PERIOD_DAYS:
        return ""
    return f"its window is {duration}; clew's error budgets are of 30 days"


def _queries(node: Any) -> Iterator[str]:
    """The texts of queries in an indicator."""
    if isinstance(node, dict):
        for key, value in node.items():
            if isinstance(value, str) and "query" in str(key).lower():
                yield value
            else:
                yield from _queries(value)
    elif isinstance(node, list):
        for value in node:
            yield from _queries(value)


def _mapping(value: Any, place: str, source: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _error(source, place, "write its fields")
    return value


def _mappings(value: Any) -> Iterator[Mapping[str, Any]]:
    """The mappings of a list, or a mapping itself."""
    yield from (
        one for one in (value if isinstance(value, list) else [value]) if isinstance(one, dict)
    )


def _text(value: Any, place: str, source: str) -> str:
    if not isinstance(value, str) or not value:
        raise _error(source, place, "write a name")
    return value


def _number(value: Any, place: str, source: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise _error(source, place, "write a number") from error


def _error(source: str, place: str, detail: str) -> DocumentError:
    return DocumentError(source, [DocumentProblem(None, place, detail)])
