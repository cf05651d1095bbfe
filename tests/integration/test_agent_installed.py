"""Servers and queues that are no dependency of clew's tests, in an environment of their own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.capture import capturing, free_port, running, under_clew_run
from support.installed import environment_with, needed
from support.services import (
    DJANGO,
    FASTAPI,
    FLASK,
    Service,
    check_instances,
    check_jobs,
    check_requests,
    environment,
    sent_by,
    serve,
    wait_for,
)

pytestmark = pytest.mark.slow

PACKAGES = (
    "celery", "daphne", "django", "dramatiq[redis]", "fastapi-cli", "flask", "redis", "requests",
    "rq", "uvicorn", "waitress", "watchfiles", "fastapi",
)  # fmt: skip
UWSGI = "uwsgi --http-socket 127.0.0.1:{port} --module shop:app --master --die-on-term"
SERVICES = {
    "fastapi run": Service(
        FASTAPI, "fastapi run shop.py --host 127.0.0.1 --port {port}", "GET /items/{number}"
    ),
    "fastapi run with workers": Service(
        FASTAPI,
        "fastapi run shop.py --host 127.0.0.1 --port {port} --workers 2",
        "GET /items/{number}",
    ),
    "fastapi dev": Service(FASTAPI, "fastapi dev shop.py --port {port}", "GET /items/{number}"),
    "flask on waitress": Service(
        FLASK, "waitress-serve --listen 127.0.0.1:{port} shop:app", "GET /items/<int:number>"
    ),
    "django on daphne": Service(
        DJANGO.replace("wsgi", "asgi"), "daphne -p {port} shop:app", "GET items/<int:number>"
    ),
}
# It runs no exit functions in a worker that is stopped in the middle of a request.
UWSGI_SERVICES = {
    name: Service(text, f"{UWSGI} {options}", "GET /items/<int:number>", is_killed=True)
    for name, text, options in (
        ("workers", FLASK, "--processes 2"),
        ("workers that load the service themselves", FLASK, "--processes 2 --lazy-apps"),
        ("threads", FLASK, "--threads 2"),
        ("decorators", f"import uwsgidecorators\n{FLASK}", "--processes 2"),
    )
}


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return environment_with(tmp_path_factory.mktemp("environment"), PACKAGES)


@pytest.fixture(scope="module")
def uwsgi_programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    needed("cc", "gcc")
    directory = tmp_path_factory.mktemp("uwsgi")
    return environment_with(directory, ["flask", "requests", "uwsgi"])


@pytest.mark.parametrize("service", SERVICES.values(), ids=list(SERVICES))
def test_a_server_is_traced(service: Service, programs: Path, tmp_path: Path) -> None:
    with capturing() as capture:
        serve(service, tmp_path, capture, programs)
    check_requests(capture, service.name)
    check_instances(capture)


@pytest.mark.parametrize("service", UWSGI_SERVICES.values(), ids=list(UWSGI_SERVICES))
def test_workers_of_uwsgi_are_instances(
    service: Service, uwsgi_programs: Path, tmp_path: Path
) -> None:
    with capturing() as capture:
        serve(service, tmp_path, capture, uwsgi_programs)
    check_requests(capture, service.name)
    check_instances(capture)


SENDER = """
from opentelemetry import trace
from jobs import send
with trace.get_tracer("shop").start_as_current_span("order"):
    for number in range(4):
        send(number)
"""
BAKE = """
import logging, os, sqlite3
def work(number):
    sqlite3.connect(":memory:").execute("SELECT 1")
    logging.getLogger("bakery").warning("baked %s", number)
"""
CELERY = f"""{BAKE}
from celery import Celery
app = Celery("bakery", broker=os.environ["REDIS"], backend=os.environ["REDIS"])
bake = app.task(name="bake")(work)
send = bake.delay
"""
DRAMATIQ = f"""{BAKE}
import dramatiq
from dramatiq.brokers.redis import RedisBroker
dramatiq.set_broker(RedisBroker(url=os.environ["REDIS"]))
bake = dramatiq.actor(work, actor_name="bake")
send = bake.send
"""
RQ = f"""{BAKE}
from redis import Redis
from rq import Queue
queue = Queue(connection=Redis.from_url(os.environ["REDIS"]))
send = lambda number: queue.enqueue(work, number)
"""
# The text of jobs.py, the worker's command, and the names of the spans where a job is sent and runs.
QUEUES = {
    "celery prefork": (
        CELERY, "celery -A jobs worker -P prefork -c 2", "apply_async/bake", "run/bake",
    ),
    "celery threads": (
        CELERY, "celery -A jobs worker -P threads -c 2", "apply_async/bake", "run/bake",
    ),
    "dramatiq": (DRAMATIQ, "dramatiq jobs --processes 2", "send bake", "process bake"),
    "rq": (RQ, "rq worker --url {redis}", "send jobs.work", "process jobs.work"),
}  # fmt: skip


@contextlib.contextmanager
def _redis(directory: Path) -> Iterator[str]:
    """A server without a file, for as long as the context lasts; gives its address."""
    port = free_port()
    command = [needed("redis-server", "redis-server"), "--port", str(port), "--save", ""]
    with running(command, os.environ, directory, "redis") as server:
        server.wait_for_port(port)
        yield f"redis://127.0.0.1:{port}/0"


@pytest.mark.parametrize("queue", QUEUES.values(), ids=list(QUEUES))
def test_a_job_is_in_the_trace_of_its_sender(
    queue: tuple[str, str, str, str], programs: Path, tmp_path: Path
) -> None:
    text, worker, sent, ran = queue
    (tmp_path / "jobs.py").write_text(text)
    (tmp_path / "shop.py").write_text(SENDER)
    with _redis(tmp_path) as address, capturing() as capture:
        sent_by([str(programs / "python"), "shop.py"], tmp_path, capture, REDIS=address)
        program, *arguments = worker.format(redis=address).split()
        command = under_clew_run([str(programs / program), *arguments], endpoint=capture.url)
        env = environment(REDIS=address, PYTHONPATH=str(tmp_path), CLEW_FLUSH_TIMEOUT="20")
        with running(command, env, tmp_path, "worker") as process:
            wait_for(lambda: len(capture.spans_named(ran)) == 4)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.stop(signal.SIGTERM, deadline_s=60)
    check_jobs(capture, send=sent, run=ran, text="baked ")
    assert not {span.service for span in capture.spans} & {"celery", "dramatiq", "rq", "python"}
    if worker.startswith("rq "):
        return  # its processes live for one job: too short to measure themselves
    answering = {span.resource["process.pid"] for span in capture.spans_named(ran)}
    assert answering <= {m.resource["process.pid"] for m in capture.metrics_of_processes()}
