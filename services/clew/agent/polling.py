"""Calls that belong to no work of the service's: no spans of them."""

from __future__ import annotations

import sys
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import SpanKind

from clew.agent import logs

# Queues, which ask for work all the time, and what reads and changes the schema of a database.
_MACHINERY = frozenset(
    {"alembic", "apscheduler", "arq", "celery", "dramatiq", "huey", "kombu", "rq", "taskiq"}
)
_SCHEMA = (
    *("django.db.migrations.", "django.core.management."),
    *("sqlalchemy.engine.reflection", "sqlalchemy.sql.ddl"),
)
# Of jinja2: of interest only within a request.
_PARTS = ("jinja2.load", "jinja2.compile", "jinja2.render")
_DEEPEST = 100  # frames that are looked at


class WithoutPolling(Sampler):
    """A sampler that leaves out spans without a parent of calls that the machinery of a queue, or
    of migrations, makes with the clients that services use, too: each would be a trace of its own.
    What a job or a request sends has a parent; what the service's own code sends is left to the
    other sampler."""

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler

    def should_sample(
        self, parent_context: Any, trace_id: int, name: str, kind: Any = None, *args: Any, **kw: Any
    ) -> SamplingResult:
        is_part = name in _PARTS
        if (
            (is_part or kind is SpanKind.CLIENT)
            and not trace.get_current_span(parent_context).get_span_context().is_valid
            and (is_part or _is_called_by_machinery(sys._getframe(1)))
        ):
            return SamplingResult(Decision.DROP)
        return self._sampler.should_sample(parent_context, trace_id, name, kind, *args, **kw)

    def get_description(self) -> str:
        return self._sampler.get_description()


def _is_called_by_machinery(frame: Any) -> bool:
    """Whether there is a frame of it before the first one of the service's own code."""
    for _ in range(_DEEPEST):
        if frame is None:
            return False
        module = str(frame.f_globals.get("__name__", ""))
        if module.partition(".")[0] in _MACHINERY or module.startswith(_SCHEMA):
            return True
        if not logs.is_of_library(frame.f_code.co_filename):
            return False
        frame = frame.f_back
    return False
