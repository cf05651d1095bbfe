"""Jobs that one process sends and another one runs, under the agent: one trace."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from support.capture import capturing, running, under_clew_run
from support.services import check_jobs, environment, sent_by, wait_for

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
        with running(
            command, environment(PYTHONPATH=str(tmp_path), CLEW_FLUSH_TIMEOUT="20"), tmp_path
        ) as process:
            wait_for(lambda: len(capture.spans_named("run/jobs.bake")) == 4)
            assert process.stop(deadline_s=60) == os.EX_OK
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
