"""Filters of a transaction's instances by what the joined view and the funnel count: each of their
numbers of instances is the length of a list of instances."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import Depends, Query

from clew.analysis.transactions.definitions import Definition
from clew.api.problems import Problem
from clew.storage import (
    CALL,
    FAILED_CALL,
    IS_GOOD,
    LAST_STEP,
    OPERATION,
    REACHED,
    settled_traces_with,
    traces_with_exception,
)

CALL_DESCRIPTION = (
    "Only instances with {a_call} of this entry of `dependencies` in the joined view: a JSON array "
    "of its `type`, `name`, `source` and `summary`, or of the first of them."
)
CALL_EXAMPLE = '["database", "postgresql", "orders", "SELECT products"]'

# What the texts of a filter are, and the columns of clew_settled that have them.
CALL_TEXTS = ("type", "name", "source", "summary")
TEXTS = {
    "operation": ("service", "operation", "kind"),
    "call": CALL_TEXTS,
    "failed_call": CALL_TEXTS,
    "exception": ("service", "type", "message", "frame"),
}
NESTED = {"operation": OPERATION, "call": CALL, "failed_call": FAILED_CALL}

Fragment = tuple[str, dict[str, Any]]  # SQL and its parameters


@dataclass(frozen=True)
class InstanceFilters:
    """Each field is a parameter of the request; None adds no condition."""

    reached: Annotated[
        str | None,
        Query(
            description="Only instances that reached this step of the funnel: its `name`.",
            examples=["pay"],
        ),
    ] = None
    last_step: Annotated[
        str | None,
        Query(
            description="Only instances that got no further than this step of the funnel: its "
            "`name`. With `status=error` they are its `errors`.",
            examples=["pay"],
        ),
    ] = None
    slo: Annotated[
        Literal["good", "bad"] | None,
        Query(
            description="Only instances that are good or bad by the service level objective: a "
            "good one is not in error and not slower than its latency."
        ),
    ] = None
    operation: Annotated[
        str | None,
        Query(
            description="Only instances with a span of this entry of `breakdown` in the joined "
            "view: a JSON array of its `service`, `operation` and `kind`, or of the first of them.",
            examples=['["payments", "POST /charges", "server"]'],
        ),
    ] = None
    call: Annotated[
        str | None,
        Query(description=CALL_DESCRIPTION.format(a_call="a call"), examples=[CALL_EXAMPLE]),
    ] = None
    failed_call: Annotated[
        str | None,
        Query(
            description=CALL_DESCRIPTION.format(a_call="a call in error"), examples=[CALL_EXAMPLE]
        ),
    ] = None
    exception: Annotated[
        str | None,
        Query(
            description="Only instances with an exception of this entry of `exceptions` in the "
            "joined view: a JSON array of its `service`, `type`, `message` and `frame`, or of the "
            "first of them.",
            examples=['["payments", "CardDeclined", "order # was declined"]'],
        ),
    ] = None

    def by_traces(self, settled: str, condition: str) -> Fragment:
        """A fragment ` AND … AND …` for instances by the calls, operations and exceptions of their
        traces, and its parameters. `settled` and `condition` as in `clew.storage.carriers`."""
        statements: list[Fragment] = []
        for name, columns in NESTED.items():
            texts = _texts(name, getattr(self, name))
            if texts:
                statements.append(settled_traces_with(settled, columns, texts, name))
        texts = _texts("exception", self.exception)
        if texts:
            statements.append(traces_with_exception(texts))
        fragment = ""
        parameters: dict[str, Any] = {}
        for statement, values in statements:
            fragment += f" AND {condition.replace('{traces}', statement)}"
            parameters |= values
        return fragment, parameters

    def by_outcome(self, definition: Definition) -> Fragment:
        """A fragment ` AND … AND …` for occurrences of the definition by their steps and the
        objective, and its parameters. Raises
        Problem 422 for a step or an objective that it does not have."""
        fragment = ""
        parameters: dict[str, Any] = {}
        for name, condition in (("reached", REACHED), ("last_step", LAST_STEP)):
            step = getattr(self, name)
            if step is not None:
                fragment += condition
                parameters[name] = _step_number(definition, step)
        if self.slo is not None:
            if definition.slo is None:
                raise Problem(422, f"{definition.id!r} has no service level objective (`slo`)")
            latency_ms = definition.slo.latency_ms
            fragment += IS_GOOD
            parameters["slo_latency_ns"] = math.inf if latency_ms is None else latency_ms * 1e6
            parameters["is_good"] = self.slo == "good"
        return fragment, parameters

    def check_automatic(self) -> None:
        """Raises Problem 422 for filters that need a definition."""
        for name in ("reached", "last_step", "slo"):
            if getattr(self, name) is not None:
                raise Problem(422, f"{name}: only defined transactions have steps and objectives")


InstanceFiltersDependency = Annotated[InstanceFilters, Depends(InstanceFilters)]


def _step_number(definition: Definition, name: str) -> int:
    """The step's number in the funnel: 0 for the entry, which is named as the transaction."""
    names = [step.name for step in definition.steps]
    if name in names:
        return names.index(name) + 1
    if name == definition.name:
        return 0
    known = ", ".join(repr(step) for step in (definition.name, *names))
    raise Problem(422, f"{definition.id!r} has no step {name!r}; its steps are {known}")


def _texts(name: str, value: str | None) -> list[str]:
    """The texts of a JSON array; null, of an exception without a frame, is an empty text."""
    if value is None:
        return []
    members = TEXTS[name]
    try:
        texts = json.loads(value)
    except (ValueError, RecursionError):
        texts = None
    if (
        not isinstance(texts, list)
        or not 0 < len(texts) <= len(members)
        or not all(text is None or isinstance(text, str) for text in texts)
    ):
        raise Problem(422, f"{name}: write a JSON array of {', '.join(members)}, or its beginning")
    return [text or "" for text in texts]
