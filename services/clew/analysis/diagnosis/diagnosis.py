"""Runs a diagnosis: the statements in their order, and the answer."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clew.analysis import impact, queries
from clew.analysis.diagnosis import differences, evidence, onset
from clew.analysis.diagnosis.advice import advice
from clew.analysis.diagnosis.causes import THRESHOLD, Cause, rank
from clew.analysis.diagnosis.evidence import CallGraph, Evidence, EvidenceName
from clew.analysis.diagnosis.question import SECOND, Question, Rows
from clew.analysis.events import events_near
from clew.analysis.texts import code_place
from clew.storage.reader import with_literals
from clew.storage.sql import Query, sql_of

MIN_TRACES = 20  # of each set
DETAILED = 3  # causes with attribute values, versions, exceptions and examples
MAX_DETAILS = 10  # of one kind of evidence
# Files of libraries, whose log records say less of a service than its own: these come first.
FOREIGN = r"/(site|dist)-packages/|/lib/python3|/node_modules/"
VALUES_CALLS = 20_000  # of a set, whose attributes are compared

STATEMENTS: Mapping[EvidenceName, tuple[Query[Any], ...]] = {
    "time": (queries.DIAGNOSIS_TIMES, queries.DIAGNOSIS_WAYS),
    "structure": (queries.DIAGNOSIS_WAYS,),
    "logs": (queries.DIAGNOSIS_LOGS, queries.DIAGNOSIS_EXCEPTIONS),
    "process": (queries.DIAGNOSIS_PROCESS,),
}


@dataclass(frozen=True)
class Sets:
    """Both sets: A and B, as rows of diagnosis_sets."""

    a: queries.DiagnosisSetsRow
    b: queries.DiagnosisSetsRow


def diagnose(rows: Rows, question: Question) -> dict[str, Any]:
    """The members of the answer, as the API's models name them; `onset` in seconds since 1970.
    Raises StorageError."""
    parameters = question.parameters
    slot = onset.slot_read(question.seconds)
    slots = rows.rows(queries.DIAGNOSIS_SLOTS, **parameters, slot=slot)
    began = onset.onset(slots, question.window.start // 10**9)
    sets = _sets(rows, question)
    reason = _too_little(sets)
    if reason or sets is None:
        return _answer(began, None, [], reason)
    question = question.sampled(sets.a["rows"], sets.b["rows"])
    lost = _lost(rows, question, sets)
    evidences, callees = _evidence(rows, question, sets)
    handed_up = evidence.handed_up(evidences, callees)
    suspects = rank(evidences, sets.b["mean"] or 0.0, handed_up)
    causes = [cause for cause in suspects if cause.score >= THRESHOLD]
    if not causes:
        return _answer(began, lost, [], _nothing(suspects))
    documents = _documents(rows, question, sets, causes, evidences)
    return _answer(began, lost, documents, None)


def _answer(
    began: int, lost: dict[str, Any] | None, causes: list[dict[str, Any]], reason: str | None
) -> dict[str, Any]:
    return {"onset": began, "impact": lost, "causes": causes, "none_because": reason}


def _sets(rows: Rows, question: Question) -> Sets | None:
    sets = {row["is_a"]: row for row in rows.rows(queries.DIAGNOSIS_SETS, **question.parameters)}
    return Sets(sets[True], sets[False]) if len(sets) == 2 else None


def _too_little(sets: Sets | None) -> str | None:
    """Why nothing can be said; None if something can."""
    if sets is None:
        return "the window or its baseline has no settled traces"
    for name, row in (("window", sets.a), ("baseline", sets.b)):
        if row["rows"] < MIN_TRACES:
            return f"the {name} has {row['rows']} traces; at least {MIN_TRACES} are needed"
    return None


def _nothing(suspects: Sequence[Cause]) -> str:
    if not suspects:
        return "nothing differs by more than chance"
    first = suspects[0]
    return (
        "nothing differs by more than chance: the strongest sign is at "
        f"{first.service or '(no name)'}, with a score of {first.score:.2f} of {THRESHOLD}"
    )


def _lost(rows: Rows, question: Question, sets: Sets) -> dict[str, Any]:
    occurrences: Sequence[queries.ImpactOccurrencesRow] = ()
    if question.transaction is not None:
        latency = question.objective.latency if question.objective else math.inf
        occurrences = rows.rows(
            queries.IMPACT_OCCURRENCES,
            **question.parameters
            | {"ids": [question.transaction], "latencies": [latency], "service": ""},
        )
    return impact.impact(sets.a, sets.b, occurrences, question.objective, question.usual_seconds)


def _evidence(
    rows: Rows, question: Question, sets: Sets
) -> tuple[dict[EvidenceName, Evidence], CallGraph]:
    """The evidence of each kind, and which services call which."""
    parameters = question.parameters
    traces = (sets.a["rows"] // question.a_one_in, sets.b["rows"] // question.b_one_in)
    times = rows.rows(queries.DIAGNOSIS_TIMES, **parameters)
    callees = evidence.call_graph(times)
    structure = rows.rows(queries.DIAGNOSIS_WAYS, **parameters)
    logs = rows.rows(queries.DIAGNOSIS_LOGS, **parameters)
    exceptions = rows.rows(queries.DIAGNOSIS_EXCEPTIONS, **parameters)
    gauges = rows.rows(queries.DIAGNOSIS_PROCESS, **parameters)
    log_evidence = evidence.logs_evidence(
        logs, exceptions, sets.a["rows"] / sets.b["rows"], traces[0] / traces[1], callees
    )
    more = evidence.more_calls(structure, traces[0])
    evidences: dict[EvidenceName, Evidence] = {
        "time": evidence.time_evidence(
            evidence.time_changes(times, traces[0]),
            evidence.explained_calls(more, log_evidence, callees),
        ),
        "structure": evidence.structure_evidence(structure, times, callees),
        "logs": log_evidence,
        "process": evidence.process_evidence(gauges),
    }
    return evidences, callees


def _documents(
    rows: Rows,
    question: Question,
    sets: Sets,
    causes: Sequence[Cause],
    evidences: Mapping[EvidenceName, Evidence],
) -> list[dict[str, Any]]:
    suspects = [cause.service for cause in causes[:DETAILED]]
    parameters = question.parameters | {"suspects": suspects}
    traces = max(sets.a["rows"] // question.a_one_in, sets.b["rows"] // question.b_one_in)
    values = differences.differences(
        rows.rows(
            queries.DIAGNOSIS_VALUES,
            **parameters,
            values_one_in=max(1, traces // VALUES_CALLS),
            identifiers=differences.IDENTIFIERS,
            descriptions=differences.DESCRIPTIONS,
        )
    )
    # Of what is slow at the other end of a call, the call is looked at.
    looked_at = ["" if cause.target else cause.operation for cause in causes[:DETAILED]]
    examples = rows.rows(
        queries.DIAGNOSIS_EXAMPLES, **parameters, operations=looked_at, foreign=FOREIGN
    )
    events = events_near(
        rows.rows,
        question.window.start / SECOND,
        question.window.end / SECOND,
        suspects,
        question.environment,
    )
    documents = []
    for cause in causes:
        shown = [row for row in examples if row["service"] == cause.service]
        document = _document(cause, evidences, question, shown)
        telling = values.get(cause.service, [])
        kinds = {
            kind: [value.as_json() for value in differences.of_kind(telling, kind)]
            for kind in ("versions", "instances", "values")
        }
        document |= kinds | {
            "kind": _refined(cause, kinds),
            "events": [event for event in events if event["service"] in ("", cause.service)],
            "examples": [_example(row) for row in shown],
        }
        documents.append(document | {"advice": advice(document)})
    return documents


def with_file(
    change: dict[str, Any], examples: Iterable[queries.DiagnosisExamplesRow]
) -> dict[str, Any]:
    """A change of log records with the file of its place, if an example has such a record; then its
    example is this one."""
    for row in examples:
        _, _, span, function, file, line = row["record"]
        if change["place"] == f"{function or file}#{line}" and change["kind"] == "record":
            place = code_place(function, file, line) if file else change["place"]
            return {**change, "place": place, "example": row["trace_id"], "span_id": span}
    return change


def _example(row: queries.DiagnosisExamplesRow) -> dict[str, Any]:
    severity, text, span, *code = row["record"]
    record = {"severity": severity, "text": text, "span_id": span, "place": code_place(*code)}
    return {
        **{name: row[name] for name in ("trace_id", "duration_ms", "is_error", "span_id")},
        "place": code_place(*row["code"]),
        "record": record if text else None,
    }


def _refined(cause: Cause, kinds: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """A version, or a value, that has most of what changed is the cause."""
    if cause.kind in ("own", "code", "database") and kinds["versions"]:
        return "version"
    if cause.kind == "own" and kinds["values"] and not kinds["instances"]:
        return "value"
    return cause.kind


def _document(
    cause: Cause,
    evidences: Mapping[EvidenceName, Evidence],
    question: Question,
    examples: Sequence[queries.DiagnosisExamplesRow],
) -> dict[str, Any]:
    details = {
        name: part.details.get(cause.service, [])[:MAX_DETAILS] for name, part in evidences.items()
    }
    logs = [with_file(change, examples) for change in details["logs"]]
    logs.sort(key=lambda change: re.search(FOREIGN, change["place"]) is not None)
    details["logs"] = logs
    return {
        "service": cause.service,
        "operation": cause.operation,
        "target": cause.target,
        "score": cause.score,
        "confidence": cause.confidence,
        "evidence": {
            name: {"score": cause.parts.get(name, 0.0), "changes": changes}
            for name, changes in details.items()
        },
        "places": [change for change in logs if change["place"]],
        "exceptions": [change for change in logs if change["kind"] == "exception"],
        "statements": [
            change
            for change in details["time"]
            if change["type"] == "database" and change["operation"]
        ],
        "sql": [
            with_literals(sql_of(query.package, query.name), question.parameters)
            for name in evidences
            if cause.parts.get(name)
            for query in STATEMENTS[name]
        ],
    }
