"""Jobs that one process sends and another one runs, under the agent: one trace."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from support.capture import Capture, Item, capturing, running, under_clew_run
from support.services import environment, wait_for

CONSUMER, PRODUCER = 5, 4

CELERY_JOBS = """
import logging, sqlite3
from celery import Celery

app = Celery("bakery")
app.conf.update(
    broker_url="filesystem://",
    broker_transport_options={
        "data_folder_in": "queue", "data_folder_out": "queue", "control_folder": "control",
        "polling_interval": 0.05,
    },
    worker_hijack_root_logger=False,
)

@app.task
def bake(number):
    sqlite3.connect(":memory:").execute("SELECT 1")
    logging.getLogger("bakery").warning("baked %s", number)
"""
CELERY_SENDER = """
import sys
from clew.agent import transaction
from opentelemetry import trace
from jobs import app, bake
with trace.get_tracer("shop").start_as_current_span("order"), transaction("Bake", key="order-7"):
    bake.delay(0)
    app.send_task("jobs.bake", [1])
    try:
        app.send_task("of a broker that refuses it", producer=object())
    except Exception as error:
        print(type(error).__name__)
    app.send_task("jobs.bake", [2])
    bake.apply_async((3,))
"""


def sent_by(program: list[str], directory: Path, capture: Capture, **env: str) -> str:
    """What a program that sends jobs prints."""
    return subprocess.run(
        under_clew_run(program, endpoint=capture.url),
        env=environment(**env),
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout


def check_jobs(capture: Capture, *, send: str, run: str, text: str, jobs: int = 4) -> None:
    """Each job has a span where it was sent, and below it one where it ran, with its log record."""
    (order,) = capture.spans_named("order")
    sent = {span.proto.span_id: span for span in capture.spans_named(send)}
    assert len(sent) == jobs
    assert {span.proto.kind for span in sent.values()} == {PRODUCER}
    assert {span.proto.parent_span_id for span in sent.values()} == {order.proto.span_id}
    ran = [span for span in capture.spans if span.proto.name == run]
    assert {span.proto.parent_span_id for span in ran} == set(sent)
    assert {span.proto.kind for span in ran} == {CONSUMER}
    for span in ran:
        assert [log for log in capture.logs if _is_within(log, span, text)]
    assert {span.trace_id for span in capture.spans} == {order.trace_id}, "nothing of the polling"


def _is_within(log: Item, span: Item, text: str) -> bool:
    return (
        log.proto.body.string_value.startswith(text)
        and log.proto.span_id == span.proto.span_id
        and log.resource["process.pid"] == span.resource["process.pid"]
    )


def test_a_task_of_celery_is_in_the_trace_of_its_sender(tmp_path: Path) -> None:
    (tmp_path / "jobs.py").write_text(CELERY_JOBS)
    (tmp_path / "shop.py").write_text(CELERY_SENDER)
    for name in ("queue", "control"):
        (tmp_path / name).mkdir()
    with capturing() as capture:
        assert sent_by([sys.executable, "shop.py"], tmp_path, capture)
        worker = [sys.executable, "-m", "celery", "-A", "jobs", "worker", "-c", "2"]
        quiet = ["--without-mingle", "--without-gossip", "-l", "WARNING"]
        command = under_clew_run([*worker, *quiet], endpoint=capture.url)
        with running(command, environment(PYTHONPATH=str(tmp_path)), tmp_path) as process:
            wait_for(lambda: len(capture.spans_named("run/jobs.bake")) == 4)
            assert process.stop() == os.EX_OK
    failed = capture.spans_named("apply_async/of a broker that refuses it")
    assert len(failed) == 1
    check_jobs(capture, send="apply_async/jobs.bake", run="run/jobs.bake", text="baked ")
    baked = [log for log in capture.logs if log.proto.body.string_value.startswith("baked ")]
    for item in (*capture.spans_named("run/jobs.bake"), *baked):
        assert item.attributes["business.transaction"] == "Bake"
        assert item.attributes["business.key"] == "order-7"
    assert {span.service for span in capture.spans} == {"shop", "jobs"}
    runtimes = [m for m in capture.metrics if m.proto.name == "flower.task.runtime.seconds"]
    assert {metric.resource["process.pid"] for metric in runtimes} == {
        span.resource["process.pid"] for span in capture.spans_named("run/jobs.bake")
    }
