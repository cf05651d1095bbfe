"""The agent's spans of jobs, with stand-ins for the libraries; and commands that ask for work."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Decision
from opentelemetry.trace import SpanKind, StatusCode, Tracer

from clew.agent import exporting, forks, polling, queues


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("jobs")
    monkeypatch.setattr(queues, "_tracer", lambda: tracer)
    yield exporter
    provider.shutdown()


@pytest.fixture
def tracer(spans: InMemorySpanExporter) -> Tracer:
    return queues._tracer()


class Message(SimpleNamespace):
    """As dramatiq's, with what its worker keeps in it."""

    actor_name, queue_name, message_id = "bake", "default", "m1"

    def stuff_exception(self, exception: BaseException) -> None:
        self.failed = exception


class Broker:
    def __init__(self) -> None:
        self.queue: list[Any] = []

    def enqueue(self, message: Any, *, delay: int | None = None) -> Any:
        self.queue.append(message)
        return message


class OtherBroker(Broker):
    """Brokers of other packages inherit."""


class WorkerThread:
    def process_message(self, message: Any) -> None:
        if error := getattr(message, "error", None):
            message.stuff_exception(error)


def _dramatiq(monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any]:
    module = ModuleType("dramatiq.broker")
    workers = ModuleType("dramatiq.worker")
    module.Broker = type("Broker", (Broker,), {})  # type: ignore[attr-defined]
    module.MessageProxy = Message  # type: ignore[attr-defined]
    workers.WorkerThread = type("WorkerThread", (WorkerThread,), {})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "dramatiq.worker", workers)
    monkeypatch.setattr(Message, "stuff_exception", Message.stuff_exception)
    queues.trace_dramatiq(module)
    return module, workers


def test_a_message_of_dramatiq_is_in_the_trace_of_its_sender(
    spans: InMemorySpanExporter, tracer: Tracer, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, workers = _dramatiq(monkeypatch)
    broker = type("OtherBroker", (module.Broker,), {})()
    with tracer.start_as_current_span("order"):
        message = broker.enqueue(Message(options={}), delay=None)
    broker.enqueue(message)  # its delay is over: it keeps its trace
    assert broker.queue == [message, message]
    workers.WorkerThread().process_message(message)
    sent, order, ran = spans.get_finished_spans()
    assert (sent.name, sent.kind) == ("send bake", SpanKind.PRODUCER)
    assert (ran.name, ran.kind) == ("process bake", SpanKind.CONSUMER)
    assert _parent(ran) == sent.context.span_id
    assert _parent(sent) == order.context.span_id
    assert dict(ran.attributes or {}) == {
        "messaging.system": "dramatiq",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "default",
        "messaging.message.id": "m1",
    }


def test_a_message_that_fails_is_an_error_and_one_that_is_tried_again_is_not(
    spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, workers = _dramatiq(monkeypatch)
    again = type("Retry", (Exception,), {})
    for error in (ValueError("burnt"), again()):
        workers.WorkerThread().process_message(Message(options={}, error=error))
    failed, repeated = spans.get_finished_spans()
    assert failed.status.status_code is StatusCode.ERROR
    assert [event.name for event in failed.events] == ["exception"]
    assert repeated.status.status_code is StatusCode.UNSET


def test_a_job_of_rq_is_in_the_trace_of_its_sender(
    spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Queue:
        name = "default"

        def _enqueue_job(self, job: Any, pipeline: Any = None) -> Any:
            return job

    class Job:
        func_name, origin, id = "jobs.bake", "default", "j1"

        def __init__(self) -> None:
            self.meta: dict[str, Any] = {"mine": 1}

        def perform(self) -> None:
            raise ValueError("burnt")

    module, jobs = ModuleType("rq.queue"), ModuleType("rq.job")
    module.Queue, jobs.Job = Queue, Job  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "rq.job", jobs)
    queues.trace_rq(module)
    job = Queue()._enqueue_job(Job())
    assert job.meta["mine"] == 1
    with pytest.raises(ValueError, match="burnt"):
        job.perform()
    sent, ran = spans.get_finished_spans()
    assert (sent.name, ran.name) == ("send jobs.bake", "process jobs.bake")
    assert _parent(ran) == sent.context.span_id
    assert ran.status.status_code is StatusCode.ERROR


def _parent(span: ReadableSpan) -> int | None:
    return span.parent and span.parent.span_id


DROP = Decision.DROP
LIBRARY = f"{sys.prefix}/lib/site-packages/kombu/poll.py"


@pytest.mark.parametrize(
    ("modules", "is_left_out"),
    [
        ([("kombu.poll", LIBRARY)], True),
        ([("celery.worker", LIBRARY), ("redis.client", LIBRARY)], True),
        ([("apscheduler.run", LIBRARY), ("shop", "/srv/shop.py")], False),
        ([("redis.client", LIBRARY)], False),
        ([("shop", "/srv/shop.py"), ("alembic.op", LIBRARY)], True),
        ([("django.db.migrations.executor", LIBRARY)], True),
        ([("django.db.models", LIBRARY), ("shop", "/srv/shop.py")], False),
    ],
)
def test_what_the_machinery_of_a_queue_asks_for_makes_no_span(
    modules: list[tuple[str, str]], is_left_out: bool
) -> None:
    sampler = polling.WithoutPolling(ALWAYS_ON)

    def decide(kind: SpanKind) -> Any:
        call: Any = partial(sampler.should_sample, None, 1, "BRPOP", kind)
        for module, path in reversed(modules):
            space = {"__name__": module, "call": call}
            exec(compile("def function(): return call()", path, "exec"), space)
            call = space["function"]
        return call().decision

    expected = DROP if is_left_out else Decision.RECORD_AND_SAMPLE
    assert decide(SpanKind.CLIENT) is expected
    assert sampler.should_sample(None, 1, "jinja2.load", SpanKind.INTERNAL).decision is DROP
    assert decide(SpanKind.CONSUMER) is Decision.RECORD_AND_SAMPLE
    assert sampler.get_description() == ALWAYS_ON.get_description()


def test_a_fork_that_python_is_not_told_of_is_caught_up_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[str] = []

    def broken() -> None:
        raise OSError("no")

    uwsgi: Any = ModuleType("uwsgi")
    monkeypatch.setitem(sys.modules, "uwsgi", uwsgi)
    monkeypatch.setattr(forks, "_in_child", [broken, lambda: calls.append("child")])
    forks.look()
    assert not calls
    assert uwsgi.post_fork_hook is forks.look
    monkeypatch.setattr(forks, "_pid", 1)  # that of the process which forked
    forks.look()
    forks.look()
    assert calls == ["child"]
    decorators: Any = ModuleType("uwsgidecorators")
    decorators.postfork_chain = []
    forks._chain_decorators(decorators)
    assert decorators.postfork_chain == [forks.look]


def test_functions_for_forked_children_are_kept_where_another_program_runs_python(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept: list[Any] = []
    monkeypatch.setattr(forks, "_in_child", kept)
    monkeypatch.setattr(forks.os, "register_at_fork", lambda **_: None)
    with forks.registrations():
        forks.os.register_at_fork(after_in_child=print)
    assert not kept
    monkeypatch.setattr(sys, "orig_argv", [])
    with forks.registrations():
        forks.os.register_at_fork(after_in_child=print)
        forks.os.register_at_fork(before=len, after_in_child=len)
    assert kept == [print]


def test_where_another_program_forks_nothing_is_imported_by_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept: list[Any] = []
    monkeypatch.setattr(forks, "_in_child", kept)
    monkeypatch.setattr(forks, "_IMPORTED_BY_THREADS", ("no.such.module", "clew.agent.otlp"))
    monkeypatch.delitem(sys.modules, "clew.agent.otlp", raising=False)
    forks.prepare()
    assert "clew.agent.otlp" in sys.modules
    assert kept == [exporting.importing.renew]
