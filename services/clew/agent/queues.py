"""Queues of jobs: a span where a job is sent, a span where it runs, in one trace.

contrib has no instrumentation of dramatiq and rq. Of celery its producer side is replaced: there
the span of a task that is sent by name only, or whose broker is down, stays the current one for
ever, and every later span of the thread becomes a child of it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from typing import Any

import wrapt
from opentelemetry import context, propagate, trace
from opentelemetry.trace import SpanKind, Status, StatusCode

_CARRIER = "trace_context"  # in options of a dramatiq message, in meta of an rq job
# Of dramatiq: a job that is to be tried again has not failed.
_FLOW_CONTROL = ("Retry", "RateLimitExceeded")


@cache
def _tracer() -> trace.Tracer:
    return trace.get_tracer(__name__)


def _attributes(system: str, operation: str, job: Mapping[str, Any]) -> dict[str, str]:
    attributes = {
        "messaging.system": system,
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
        "messaging.destination.name": job.get("queue"),
        "messaging.message.id": job.get("id"),
    }
    return {key: str(value) for key, value in attributes.items() if value is not None}


@contextlib.contextmanager
def _sending(system: str, name: Any, **job: Any) -> Iterator[dict[str, str]]:
    """The current span while a job is sent; gives what is to be sent along."""
    carrier: dict[str, str] = {}
    with _tracer().start_as_current_span(
        f"send {name}", kind=SpanKind.PRODUCER, attributes=_attributes(system, "send", job)
    ):
        propagate.inject(carrier)
        yield carrier


@contextlib.contextmanager
def _processing(system: str, name: Any, carrier: Any, **job: Any) -> Iterator[None]:
    """The current span while a job runs."""
    parent = propagate.extract(carrier) if isinstance(carrier, dict) else None
    token = context.attach(parent) if parent is not None else None
    try:
        with _tracer().start_as_current_span(
            f"process {name}",
            kind=SpanKind.CONSUMER,
            attributes=_attributes(system, "process", job),
        ):
            yield
    finally:
        if token is not None:
            context.detach(token)


def _is_moved(carriers: Mapping[str, Any]) -> bool:
    """Whether a job that was sent before is put into its queue by the queue itself: its time has
    come, or the job that it waited for is done."""
    return _CARRIER in carriers and not trace.get_current_span().get_span_context().is_valid


def trace_celery(instrumentor: Any) -> None:
    """Sending: a span around celery's own function, whatever happens in it. Running: contrib's."""
    signals = import_module("celery.signals")
    instrumentor.instrument()
    signals.before_task_publish.disconnect(instrumentor._trace_before_publish)
    signals.after_task_publish.disconnect(instrumentor._trace_after_publish)
    signals.before_task_publish.connect(_inject_into_headers, weak=False)
    wrapt.register_post_import_hook(_trace_senders, "celery.app.base")


def _inject_into_headers(headers: Any = None, **_: Any) -> None:
    if isinstance(headers, dict):
        propagate.inject(headers)


def _trace_senders(module: Any) -> None:
    def send_task(wrapped: Any, _app: Any, args: Any, kwargs: Any) -> Any:
        name = args[0] if args else kwargs.get("name")
        with _tracer().start_as_current_span(
            f"apply_async/{name}", kind=SpanKind.PRODUCER, attributes=_celery_attributes(name)
        ) as span:
            result = wrapped(*args, **kwargs)
            span.set_attribute("messaging.message.id", str(getattr(result, "id", "")))
            return result

    wrapt.wrap_function_wrapper(module, "Celery.send_task", send_task)


def _celery_attributes(name: Any) -> dict[str, str]:
    """As contrib names them."""
    return {
        "messaging.system": "celery",
        "celery.action": "apply_async",
        "celery.task_name": str(name),
    }


def trace_dramatiq(module: Any) -> None:
    """`module` is dramatiq.broker. Brokers of others inherit from its class, too."""

    def init(wrapped: Any, broker: Any, args: Any, kwargs: Any) -> None:
        wrapped(*args, **kwargs)
        broker.enqueue = wrapt.FunctionWrapper(broker.enqueue, _enqueue_message)

    wrapt.wrap_function_wrapper(module, "Broker.__init__", init)
    wrapt.wrap_function_wrapper(module, "MessageProxy.stuff_exception", _note_failure)
    wrapt.register_post_import_hook(_trace_dramatiq_workers, "dramatiq.worker")


def _enqueue_message(wrapped: Any, _broker: Any, args: Any, kwargs: Any) -> Any:
    message = args[0] if args else kwargs["message"]
    if _is_moved(message.options):
        return wrapped(*args, **kwargs)
    job = {"queue": message.queue_name, "id": message.message_id}
    with _sending("dramatiq", message.actor_name, **job) as carrier:
        message.options[_CARRIER] = carrier
        return wrapped(*args, **kwargs)


def _trace_dramatiq_workers(module: Any) -> None:
    def process_message(wrapped: Any, _worker: Any, args: Any, kwargs: Any) -> Any:
        message = args[0] if args else kwargs["message"]
        job = {"queue": message.queue_name, "id": message.message_id}
        carrier = message.options.get(_CARRIER)
        with _processing("dramatiq", message.actor_name, carrier, **job):
            return wrapped(*args, **kwargs)

    name = "WorkerThread" if hasattr(module, "WorkerThread") else "_WorkerThread"
    wrapt.wrap_function_wrapper(module, f"{name}.process_message", process_message)


def _note_failure(wrapped: Any, _message: Any, args: Any, kwargs: Any) -> Any:
    """The worker catches what a job raises, and keeps it in the message."""
    error = args[0] if args else kwargs.get("exception")
    span = trace.get_current_span()
    if isinstance(error, BaseException) and type(error).__name__ not in _FLOW_CONTROL:
        span.record_exception(error)
        span.set_status(Status(StatusCode.ERROR, f"{type(error).__name__}: {error}"))
    return wrapped(*args, **kwargs)


def trace_rq(module: Any) -> None:
    """`module` is rq.queue, which imports rq.job."""

    def enqueue(wrapped: Any, queue: Any, args: Any, kwargs: Any) -> Any:
        job = args[0] if args else kwargs["job"]
        if _is_moved(job.meta):
            return wrapped(*args, **kwargs)
        with _sending("rq", job.func_name, queue=queue.name, id=job.id) as carrier:
            job.meta[_CARRIER] = carrier
            return wrapped(*args, **kwargs)

    name = "_enqueue_job" if hasattr(module.Queue, "_enqueue_job") else "enqueue_job"
    wrapt.wrap_function_wrapper(module, f"Queue.{name}", enqueue)
    wrapt.register_post_import_hook(_trace_rq_jobs, "rq.job")


def _trace_rq_jobs(module: Any) -> None:
    def perform(wrapped: Any, job: Any, args: Any, kwargs: Any) -> Any:
        carrier = (job.meta or {}).get(_CARRIER)
        with _processing("rq", job.func_name, carrier, queue=job.origin, id=job.id):
            return wrapped(*args, **kwargs)

    wrapt.wrap_function_wrapper(module, "Job.perform", perform)
