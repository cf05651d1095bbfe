"""Services that the tests run under the agent: the same two routes on each framework and server,
and what must have been sent about them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from support.capture import CLIENT, SERVER, Capture, Item, free_port, running, under_clew_run

CONSUMER, PRODUCER = 5, 4

WORK = """
import logging, os, sqlite3, urllib.request
import requests
log = logging.getLogger("shop.items")

def work(number):
    connection = sqlite3.connect(":memory:")
    connection.execute("SELECT 1")
    connection.backup(sqlite3.connect(":memory:"))
    requests.get(os.environ["LEAF"])
    log.warning("item %s", number)
    return {"number": number}
"""
FLASK = """
from flask import Flask
from work import work
app = Flask(__name__)
app.get("/items/<int:number>")(work)
"""
DJANGO = """
from django.conf import settings
from django.core.wsgi import get_wsgi_application
settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF="shop", SECRET_KEY="x", MIDDLEWARE=[])
from django.http import JsonResponse
from django.urls import path
from work import work
urlpatterns = [path("items/<int:number>", lambda request, number: JsonResponse(work(number)))]
app = get_wsgi_application()
"""
MANAGE = """
import sys
import shop
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
"""
STARLETTE = """
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route
from work import work

def item(request):
    return JSONResponse(work(request.path_params["number"]))

app = Starlette(routes=[Route("/items/{number}", item)])
"""
FASTAPI = """
from fastapi import FastAPI
from work import work
app = FastAPI()
app.get("/items/{number}")(work)
"""
FLASK_IN_FASTAPI = f"""
{FLASK}
inner = app
from fastapi import FastAPI
from starlette.middleware.wsgi import WSGIMiddleware
app = FastAPI()
app.mount("/", WSGIMiddleware(inner))
"""
AIOHTTP = """
import sys
from aiohttp import web
from work import work

async def item(request):
    return web.json_response(work(request.match_info["number"]))

app = web.Application()
app.router.add_get("/items/{number}", item)
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)
"""
TORNADO = """
import sys
import tornado.ioloop, tornado.web
from work import work

class Item(tornado.web.RequestHandler):
    def get(self, number):
        self.write(work(number))

tornado.web.Application([(r"/items/(\\d+)", Item)]).listen(int(sys.argv[1]), "127.0.0.1")
tornado.ioloop.IOLoop.current().start()
"""


@dataclass(frozen=True)
class Service:
    """app: the text of shop.py. command: a program of the environment with its arguments; {port} is
    replaced. name: of a request's span. files: further ones, by their names. is_killed: whether the
    process that answers may end without its exit functions when the server is stopped."""

    app: str
    command: str
    name: str
    files: Mapping[str, str] = field(default_factory=dict)
    is_killed: bool = False

    def argv(self, port: int, programs: Path) -> list[str]:
        program, *arguments = self.command.format(port=port).split()
        return [str(programs / program), *arguments]


def environment(**more: str) -> dict[str, str]:
    """This process's environment without settings of the agent."""
    inherited = {
        key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "CLEW_"))
    }
    return {**inherited, **more}


def wait_for(is_so: Callable[[], bool], deadline_s: float = 60) -> None:
    give_up = time.monotonic() + deadline_s
    while not is_so():
        assert time.monotonic() < give_up
        time.sleep(0.05)


def serve(
    service: Service,
    directory: Path,
    capture: Capture,
    programs: Path = Path(sys.executable).parent,
) -> None:
    """Run it in `directory`/shop, let it answer four requests of its route and four of none, and
    stop it by SIGTERM. `programs` is where those of its environment are."""
    home = directory / "shop"
    home.mkdir()
    for name, text in {"work.py": WORK, "shop.py": service.app, **service.files}.items():
        (home / name).write_text(text)
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    command = under_clew_run(service.argv(port, programs), endpoint=capture.url)
    env = environment(
        LEAF=f"{capture.url}/leaf",
        PYTHONPATH=str(home),
        CLEW_FLUSH_TIMEOUT="20",  # a busy machine may need more than the 1.5 s of a service
        **({"OTEL_METRIC_EXPORT_INTERVAL": "500"} if service.is_killed else {}),
    )
    with running(command, env, home) as process:
        process.wait_for_port(port)
        for number in range(4):
            assert httpx.get(f"{base}/items/{number}", timeout=30).status_code == 200
            assert httpx.get(f"{base}/no/such/{number}", timeout=30).status_code == 404
        if service.is_killed:
            wait_for(lambda: _has_arrived(capture))
        process.stop(signal.SIGTERM, deadline_s=60)
        print(process.output.read_text())


def _has_arrived(capture: Capture) -> bool:
    items = [log for log in capture.logs if log.proto.body.string_value.startswith("item ")]
    answering = {span.resource["process.pid"] for span in entries(capture)}
    measured = {metric.resource["process.pid"] for metric in durations(capture)}
    return (len(entries(capture)), len(items)) == (8, 4) and answering == measured


def entries(capture: Capture) -> list[Item]:
    """The spans of requests that were answered."""
    return [span for span in capture.spans if span.proto.kind == SERVER]


def durations(capture: Capture) -> list[Item]:
    """The metrics of requests that were answered."""
    return [
        metric for metric in capture.metrics if metric.proto.name == "http.server.request.duration"
    ]


def check_requests(capture: Capture, name: str) -> None:
    """What `serve` did is there: one span for each request, with its calls and log records."""
    assert sorted(span.proto.name for span in entries(capture)) == ["GET"] * 4 + [name] * 4
    assert {span.service for span in capture.spans} == {"shop"}
    assert not [s for s in capture.spans if s.proto.name.endswith((" send", " receive"))]
    assert not [log for log in capture.logs if log.scope == "django.request" and not log.trace_id]
    for entry in (span for span in entries(capture) if span.proto.name == name):
        trace = [span for span in capture.spans if span.trace_id == entry.trace_id]
        calls = [span for span in trace if span.proto.kind == CLIENT]
        assert {span.scope.rpartition(".")[2] for span in calls} == {"requests", "sqlite"}
        assert len(calls) == 2
        records = [log for log in capture.logs if log.trace_id == entry.trace_id]
        assert [log for log in records if log.proto.body.string_value.startswith("item ")]


def check_instances(capture: Capture) -> None:
    """Each process is one instance, and those that answered requests report their durations."""
    items = (*capture.spans, *capture.logs, *capture.metrics)
    instances = {
        (item.resource["process.pid"], item.resource["service.instance.id"])
        for item in items
        if "process.pid" in item.resource  # metrics of the host have none
    }
    assert (
        len(instances) == len({pid for pid, _ in instances}) == len({key for _, key in instances})
    )
    answering = {span.resource["process.pid"] for span in capture.spans}
    assert {metric.resource["process.pid"] for metric in durations(capture)} == answering


def sent_by(program: list[str], directory: Path, capture: Capture, **env: str) -> str:
    """What a program that sends jobs prints."""
    return subprocess.run(
        under_clew_run(program, endpoint=capture.url),
        env=environment(CLEW_FLUSH_TIMEOUT="20", **env),
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
