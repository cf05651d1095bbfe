"""What is known of the requests that this process serves: whether they have spans, and which of
them failed last, with which exceptions."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.trace import SpanContext, SpanKind

_ENTRIES = (SpanKind.SERVER, SpanKind.CONSUMER)
# The last failed request of this context (a task, a thread) with the types and messages of its
# exceptions. The exceptions themselves would keep alive what their frames hold.
_failure: ContextVar[tuple[SpanContext, frozenset[tuple[str, str]]] | None] = ContextVar(
    "clew_failed_request", default=None
)
# The request that ended last in this context.
_last: ContextVar[SpanContext | None] = ContextVar("clew_last_request", default=None)
_has_spans = False


def have_spans() -> bool:
    """Whether this process, or the one that it was forked from, has made a span of a request."""
    return _has_spans


def failed_with(error: BaseException | None) -> SpanContext | None:
    """The span of the request that failed last in this context, if it was with such an error."""
    failure = _failure.get()
    if failure is None or error is None:
        return None
    span, errors = failure
    return span if (type(error).__name__, str(error)) in errors else None


def ended_last() -> SpanContext | None:
    """The span of the request that ended last in this context; none while another one runs."""
    return _last.get()


class RequestWatch(SpanProcessor):
    """Takes note of spans of requests."""

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        global _has_spans
        if span.kind is SpanKind.SERVER:
            _has_spans = True
        if span.kind in _ENTRIES:
            _failure.set(None)
            _last.set(None)

    def on_end(self, span: Any) -> None:
        if span.kind not in _ENTRIES:
            return
        _last.set(span.get_span_context())
        errors = frozenset(
            (_unqualified(str(attributes.get("exception.type", ""))), str(message))
            for attributes in (event.attributes or {} for event in span.events)
            if (message := attributes.get("exception.message")) is not None
        )
        if errors:
            _failure.set((span.get_span_context(), errors))


def _unqualified(name: str) -> str:
    return name.rpartition(".")[2]
