"""Business context from rules alone, with real servers and clients: services that set nothing
themselves, under `clew run`."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from clew.agent.business import rules
from clew.agent.business.subscription import Subscription, subscribe
from support.capture import RULES_PATH, SERVER, Capture, Item, capturing, free_port, running
from support.capture import under_clew_run as under_clew

FRAMEWORKS = ("fastapi", "starlette", "flask", "django", "aiohttp")

# Every framework takes an order, logs it, and asks the flask application, by three clients and two
# names, for the baggage that reaches it.
SERVICE = """
import asyncio, logging, os, sys, threading
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import aiohttp, django.core.wsgi, fastapi, flask, httpx, requests, urllib.request, uvicorn
from aiohttp import web
from django.conf import settings
from django.http import JsonResponse
from django.urls import path
from starlette.applications import Starlette
from starlette.responses import JSONResponse as StarletteResponse
from starlette.routing import Route

log = logging.getLogger("shop.orders")
PORTS = dict(zip(("fastapi", "starlette", "flask", "django", "aiohttp"), map(int, sys.argv[1:])))
HOSTS = {"own": f"http://localhost:{PORTS['flask']}", "outside": f"http://127.0.0.1:{PORTS['flask']}"}

def ask_aiohttp(url):
    async def ask():
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return await response.text()
    return asyncio.run(ask())

CLIENTS = {
    "httpx": lambda url: httpx.get(url, follow_redirects=True).text,
    "requests": lambda url: requests.get(url).text,
    "urllib": lambda url: urllib.request.urlopen(url).read().decode(),
    "aiohttp": ask_aiohttp,
}

def work(size):
    log.warning("ordered")
    result = {"size": size}
    for client, get in CLIENTS.items():
        for host, url in HOSTS.items():
            result[f"{client} {host}"] = get(f"{url}/baggage")
        result[f"{client} redirected"] = get(f"{HOSTS['own']}/elsewhere")
    return result

fast = fastapi.FastAPI()

@fast.get("/ready")
def ready():
    from clew.agent.business import rules
    return rules.current() is not None

@fast.post("/orders/{number}")
async def fastapi_order(request: fastapi.Request):
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
    return await asyncio.to_thread(work, size)

@fast.post("/unread/{number}")
def unread():
    log.warning("unread")

async def starlette_order(request):
    size = len(await request.body())
    return StarletteResponse(await asyncio.to_thread(work, size))

starlette = Starlette(routes=[Route("/orders/{number}", starlette_order, methods=["POST"])])
flasks = flask.Flask("flasks")

@flasks.post("/orders/<number>")
def flask_order(number):
    return work(len(flask.request.get_data()))

@flasks.get("/baggage")
def show_baggage():
    log.warning("asked")
    return flask.request.headers.get("baggage", "")

@flasks.get("/elsewhere")
def elsewhere():
    return flask.redirect(f"{HOSTS['outside']}/baggage")

settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF="urls", SECRET_KEY="x", MIDDLEWARE=[])
sys.modules["urls"] = sys.modules["__main__"]
urlpatterns = [path("orders/<str:number>", lambda request, number: JsonResponse(work(len(request.body))))]
djangos = django.core.wsgi.get_wsgi_application()

async def aiohttp_order(request):
    size = len(await request.read())
    return web.json_response(await asyncio.to_thread(work, size))

def serve_aiohttp():
    app = web.Application()
    app.router.add_post("/orders/{number}", aiohttp_order)
    web.run_app(app, host="127.0.0.1", port=PORTS["aiohttp"], print=None, handle_signals=False)

class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

class Handler(WSGIRequestHandler):
    def log_message(self, *_): pass

def serve_wsgi(app, port):
    make_server("127.0.0.1", port, app, server_class=Server, handler_class=Handler).serve_forever()

def start(target, *args):
    threading.Thread(target=target, args=args, daemon=True).start()

start(serve_aiohttp)
start(serve_wsgi, flasks, PORTS["flask"])
start(serve_wsgi, djangos, PORTS["django"])
start(lambda: uvicorn.run(starlette, port=PORTS["starlette"], log_level="warning"))
uvicorn.run(fast, port=PORTS["fastapi"], log_level="warning")
"""
TAKE = [
    {"as": "business.key", "path": "/orders/{}"},
    {"as": "business.key", "path": "/unread/{}"},
    {"as": "user.id", "json": "customer.id"},
    {"as": "business.value", "json": "total"},
]
RULES = {
    "version": 1,
    "rules": [{"transaction": "Order", "begins": True, "service": "shop", "method": "POST", "take": TAKE}],
}  # fmt: skip


class Sent:
    """What the service sent, and what its frameworks answered to an order."""

    def __init__(self, capture: Capture) -> None:
        self.capture = capture
        self.answers: dict[str, dict[str, Any]] = {}
        self.streamed: dict[str, Any] = {}


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sent]:
    directory = tmp_path_factory.mktemp("business")
    (directory / "shop.py").write_text(SERVICE)
    with capturing() as capture:
        capture.rules = RULES
        ports = {name: free_port() for name in FRAMEWORKS}
        command = [sys.executable, "shop.py", *map(str, ports.values())]
        env = _environment(directory, CLEW_BAGGAGE_HOSTS="localhost", CLEW_RULES_INTERVAL="0.5")
        with running(under_clew(command, endpoint=capture.url), env, directory) as process:
            for port in ports.values():
                process.wait_for_port(port)
            urls = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
            _wait(lambda: httpx.get(f"{urls['fastapi']}/ready").json())
            sent = Sent(capture)
            for name, url in urls.items():
                order = {"customer": {"id": f"user-{name}"}, "total": 9.5}
                answer = httpx.post(f"{url}/orders/{name}", json=order, timeout=60)
                assert answer.status_code == 200, process.output.read_text()
                sent.answers[name] = answer.json()
            sent.streamed = _stream(urls["fastapi"])
            httpx.post(f"{urls['fastapi']}/unread/unread", json=order, timeout=60)
            _wait(lambda: len(_rule_requests(capture)) > 2)
            process.stop()
        yield sent


def _environment(directory: Path, **more: str) -> dict[str, str]:
    inherited = {
        key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "CLEW_"))
    }
    return {**inherited, "XDG_CACHE_HOME": str(directory / "cache"), **more}


def _wait(condition: Callable[[], Any]) -> None:
    give_up = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.02)


def _stream(url: str) -> Any:
    """An order of more than is watched, in chunks without a length."""

    def chunks() -> Iterator[bytes]:
        yield b'{"customer": {"id": "streamed"}, "rest": "'
        for _ in range(100):
            yield b"x" * 1000
        yield b'"}'

    headers = {"content-type": "application/json"}
    url = f"{url}/orders/streamed"
    return httpx.post(url, content=chunks(), headers=headers, timeout=60).json()


def _rule_requests(capture: Capture) -> list[dict[str, str]]:
    return [headers for path, headers in capture.gets if path == RULES_PATH]


def _entry(sent: Sent, key: str) -> Item:
    (entry,) = (
        span
        for span in sent.capture.spans
        if span.proto.kind == SERVER
        and span.attributes.get("business.key") == key
        and span.proto.name.startswith("POST ")
    )
    return entry


def _context(name: str) -> dict[str, Any]:
    return {
        "business.transaction": "Order",
        "business.key": name,
        "user.id": f"user-{name}",
        "business.value": 9.5,
    }


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_request_is_marked_with_what_it_says(sent: Sent, framework: str) -> None:
    entry, expected = _entry(sent, framework), _context(framework)
    assert sent.answers[framework]["size"] > 0
    assert entry.attributes | expected == entry.attributes
    records = [log for log in sent.capture.logs if log.trace_id == entry.trace_id]
    (ordered,) = (log for log in records if log.proto.body.string_value == "ordered")
    assert ordered.attributes | expected == ordered.attributes


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("client", ["httpx", "requests", "urllib", "aiohttp"])
def test_it_goes_to_allowed_hosts_alone(sent: Sent, framework: str, client: str) -> None:
    answers = sent.answers[framework]
    assert dict(member.split("=") for member in answers[f"{client} own"].split(",")) == {
        "business.transaction": "Order",
        "business.key": framework,
        "business.user": f"user-{framework}",
        "business.value": "9.5",
    }
    assert answers[f"{client} outside"] == ""
    assert answers[f"{client} redirected"] == ""


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_services_behind_it_are_marked_as_it_is(sent: Sent, framework: str) -> None:
    trace_id, expected = _entry(sent, framework).trace_id, _context(framework)
    behind = [
        span
        for span in sent.capture.spans
        if span.trace_id == trace_id and span.proto.name == "GET /baggage"
    ]
    assert len(behind) == 12
    marked = [span for span in behind if span.attributes | expected == span.attributes]
    assert len(marked) == 4
    assert not [span for span in behind if span not in marked and "business.key" in span.attributes]
    records = [log for log in sent.capture.logs if log.trace_id == trace_id]
    asked = [log for log in records if log.proto.body.string_value == "asked"]
    assert sum(log.attributes | expected == log.attributes for log in asked) == 4


def test_a_streamed_body_arrives_whole_and_one_that_is_too_long_says_nothing(sent: Sent) -> None:
    assert sent.streamed["size"] == 100_000 + 44
    attributes = _entry(sent, "streamed").attributes
    assert attributes["business.transaction"] == "Order"
    assert "user.id" not in attributes


def test_a_body_that_the_service_does_not_read_says_nothing(sent: Sent) -> None:
    assert "user.id" not in _entry(sent, "unread").attributes
    (record,) = sent.capture.logs_saying("unread")
    assert record.attributes["business.key"] == "unread"


def test_rules_that_did_not_change_are_not_sent_again(sent: Sent) -> None:
    requests = _rule_requests(sent.capture)
    assert "if-none-match" not in requests[0]
    assert all("if-none-match" in headers for headers in requests[1:])


# ---- The rules, in a process


@pytest.fixture
def subscribed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Subscription]]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def make(url: str, **headers: str) -> Subscription:
        return Subscription("shop", f"{url}{RULES_PATH}", headers, 3600.0)

    yield make
    rules.put_in_force(None)


def _refresh(subscription: Subscription) -> int:
    """Load the copy and fetch once, as the thread does; gives how many rules are in force."""
    if subscription._copy is None:
        subscription._load_copy()
    subscription.refresh()
    active = rules.current()
    return len(active.rules) if active else 0


def test_the_last_rules_hold_when_clew_is_down_at_the_next_start(
    subscribed: Callable[..., Subscription], tmp_path: Path
) -> None:
    with capturing() as capture:
        capture.rules = RULES
        assert _refresh(subscribed(capture.url)) == 1
        url = capture.url
    rules.put_in_force(None)
    assert _refresh(subscribed(url)) == 1
    (copy,) = (tmp_path / "clew").iterdir()
    assert copy.stat().st_mode & 0o777 == 0o600
    rules.put_in_force(None)
    assert _refresh(subscribed(url, authorization="Bearer another")) == 0
    copy.write_text("{")
    assert _refresh(subscribed(url)) == 0
    copy.write_text(json.dumps({"etag": "", "document": RULES}))
    copy.chmod(0o666)  # anybody could have written it
    assert _refresh(subscribed(url)) == 0


def test_changed_rules_replace_those_in_force(subscribed: Callable[..., Subscription]) -> None:
    with capturing() as capture:
        subscription = subscribed(capture.url, authorization="Bearer key")
        assert _refresh(subscription) == 0
        capture.rules = RULES
        assert _refresh(subscription) == 1
        assert _refresh(subscription) == 1
        capture.rules = {"rules": []}
        assert _refresh(subscription) == 0
        assert {headers["authorization"] for headers in _rule_requests(capture)} == {"Bearer key"}


def test_what_fails_is_said_once_and_the_rules_stay(
    subscribed: Callable[..., Subscription],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level("INFO", logger="clew.agent")
    with capturing() as capture:
        capture.rules = RULES
        following = subscribed(capture.url)
        assert _refresh(following) == 1
        for status, body in ((403, b""), (500, b""), (200, b"<html>"), (200, b"[]")):
            answer = type("Answer", (), {"status": status, "etag": "", "body": body})
            monkeypatch.setattr(
                "clew.agent.business.fetching.fetch", lambda *_, answer=answer: answer
            )
            assert _refresh(following) == 1
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "CLEW_API_KEY has no key of scope ingest" in caplog.text


@pytest.mark.parametrize(
    ("setting", "url"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://clew:4318/"}, "http://clew:4318/v1/clew/rules"),
        (
            {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://clew/base/v1/traces"},
            "https://clew/base/v1/clew/rules",
        ),
        (
            {"CLEW_RULES_ENDPOINT": "http://clew:4318", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "http://clew:4318/v1/clew/rules",
        ),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, None),
        ({"OTEL_TRACES_EXPORTER": "console"}, None),
        ({"CLEW_RULES_INTERVAL": "0"}, None),
    ],
)
def test_rules_are_fetched_where_clew_is(
    setting: dict[str, str], url: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "after_import", lambda *_: None)
    for name, value in setting.items():
        monkeypatch.setenv(name, value)
    following = subscribe("shop")
    assert (following._url if following else None) == url


def test_a_start_does_not_wait_for_a_receiver_that_hangs(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        url = f"http://127.0.0.1:{hanging.getsockname()[1]}"
        command = under_clew([sys.executable, "-c", "print('hello')"], endpoint=url)
        env = _environment(tmp_path, CLEW_FLUSH_TIMEOUT="0.1")
        with running(command, env, tmp_path) as process:
            assert process.popen.wait(60) == 0
            assert process.output.read_text().splitlines()[1:] == ["hello"]
