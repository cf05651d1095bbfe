"""What services on real frameworks and servers send under `clew run`, without a change of theirs:
one span for each request, named after its route, what it calls below it, and its log records."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from support.capture import CLIENT, capturing
from support.capture import under_clew_run as under_clew
from support.processes import CLEW
from support.services import (
    AIOHTTP,
    DJANGO,
    FASTAPI,
    FLASK,
    FLASK_IN_FASTAPI,
    MANAGE,
    STARLETTE,
    TORNADO,
    Service,
    check_instances,
    check_requests,
    environment,
    serve,
)

SERVICES = {
    "flask on gunicorn": Service(
        FLASK, "python -m gunicorn -w 2 -b 127.0.0.1:{port} shop:app", "GET /items/<int:number>"
    ),
    "flask on gunicorn's threads": Service(
        FLASK,
        "python -m gunicorn --preload --threads 2 -b 127.0.0.1:{port} shop:app",
        "GET /items/<int:number>",
    ),
    "flask run": Service(
        FLASK, "python -m flask --app shop run -p {port}", "GET /items/<int:number>"
    ),
    "starlette on uvicorn": Service(
        STARLETTE, "python -m uvicorn shop:app --port {port}", "GET /items/{number}"
    ),
    "aiohttp": Service(AIOHTTP, "python shop.py {port}", "GET /items/{number}"),
    "django's own server": Service(
        DJANGO,
        "python manage.py runserver 127.0.0.1:{port}",
        "GET items/<int:number>",
        {"manage.py": MANAGE},
        is_killed=True,
    ),
    "tornado": Service(TORNADO, "python shop.py {port}", "GET /items/{number}"),
    "flask on gunicorn's gevent": Service(
        FLASK,
        "python -m gunicorn -k gevent -w 2 -b 127.0.0.1:{port} shop:app",
        "GET /items/<int:number>",
    ),
    "fastapi on granian": Service(
        FASTAPI,
        "python -m granian --interface asgi --port {port} shop:app",
        "GET /items/{number}",
    ),
}
# 1 to 3 s of CPU each: what differs from those above is tested there with another framework or server,
# and uvicorn's workers in test_agent.py.
SIMILAR_SERVICES = {
    "django on gunicorn": Service(
        DJANGO, "python -m gunicorn -b 127.0.0.1:{port} shop:app", "GET items/<int:number>"
    ),
    "fastapi on uvicorn's workers": Service(
        FASTAPI, "python -m uvicorn shop:app --port {port} --workers 2", "GET /items/{number}"
    ),
    "fastapi on gunicorn's uvicorn workers": Service(
        FASTAPI,
        "python -m gunicorn -k uvicorn_worker.UvicornWorker -w 2 -b 127.0.0.1:{port} shop:app",
        "GET /items/{number}",
    ),
    "starlette on hypercorn": Service(
        STARLETTE, "python -m hypercorn -b 127.0.0.1:{port} -w 2 shop:app", "GET /items/{number}"
    ),
    "flask on granian": Service(
        FLASK,
        "python -m granian --interface wsgi --port {port} shop:app",
        "GET /items/<int:number>",
    ),
    "flask within fastapi": Service(
        FLASK_IN_FASTAPI,
        "python -W ignore -m uvicorn shop:app --port {port}",
        "GET /items/<int:number>",
    ),
    "django's own server without its reloader": Service(
        DJANGO,
        "python manage.py runserver --noreload 127.0.0.1:{port}",
        "GET items/<int:number>",
        {"manage.py": MANAGE},
    ),
    "fastapi on uvicorn's reloader": Service(
        FASTAPI, "python -m uvicorn shop:app --port {port} --reload", "GET /items/{number}"
    ),
}


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    "service",
    [
        *(pytest.param(service, id=name) for name, service in SERVICES.items()),
        *(
            pytest.param(service, id=name, marks=pytest.mark.slow)
            for name, service in SIMILAR_SERVICES.items()
        ),
    ],
)
def test_a_request_is_one_span_with_its_calls_and_log_records(
    service: Service, tmp_path: Path
) -> None:
    with capturing() as capture:
        serve(service, tmp_path, capture)
    check_requests(capture, service.name)
    check_instances(capture)


def test_https_works_in_a_process_that_gevent_patches_late(tmp_path: Path) -> None:
    program = """
import logging, time
logging.warning("exported before the patch")
time.sleep(0.5)
from gevent import monkey
monkey.patch_all()
import requests
try:
    requests.get("https://127.0.0.1:9/")
except requests.ConnectionError:
    logging.warning("refused")
"""
    (tmp_path / "program.py").write_text(program)
    with capturing() as capture:
        command = under_clew([sys.executable, "program.py"], endpoint=capture.url)
        env = environment(OTEL_BLRP_SCHEDULE_DELAY="50")
        subprocess.run(command, env=env, capture_output=True, cwd=tmp_path, check=True)
    assert len(capture.logs_saying("exported before the patch")) == 1
    assert len(capture.logs_saying("refused")) == 1
    assert [span.proto.kind for span in capture.spans] == [CLIENT]


def test_no_library_is_imported_that_the_program_does_not_import(tmp_path: Path) -> None:
    program = "import sys; print(*sorted(sys.modules))"
    modules = {}
    for name, command in (
        ("bare", [sys.executable, "-c", program]),
        ("clew", under_clew([sys.executable, "-c", program], endpoint="http://127.0.0.1:9")),
    ):
        result = subprocess.run(
            command, env=environment(), capture_output=True, text=True, cwd=tmp_path, check=True
        )
        modules[name] = {module.partition(".")[0] for module in result.stdout.split()}
    added = modules["clew"] - modules["bare"] - sys.stdlib_module_names
    allowed = {
        *("clew", "opentelemetry", "packaging", "psutil", "sitecustomize"),
        *("typing_extensions", "wrapt"),
    }
    assert {name for name in added if not name.startswith("_")} <= allowed


def test_a_service_with_a_provider_of_its_own_keeps_its_exporter(tmp_path: Path) -> None:
    program = """
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor
import sqlite3
own = TracerProvider(resource=Resource({"service.name": "own"}))
trace.set_tracer_provider(own)
own.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(formatter=lambda span: f"SEEN {span.name}\\n")))
assert trace.get_tracer_provider() is own
with trace.get_tracer("mine").start_as_current_span("by hand"):
    sqlite3.connect(":memory:").execute("SELECT 1")
"""
    (tmp_path / "program.py").write_text(program)
    with capturing() as capture:
        command = under_clew([sys.executable, "program.py"], endpoint=capture.url)
        result = subprocess.run(
            command, env=environment(), capture_output=True, text=True, cwd=tmp_path, check=True
        )
    assert sorted(result.stdout.split()) == sorted(["SEEN", "SELECT", "SEEN", "by", "hand"])
    assert sorted(span.proto.name for span in capture.spans) == ["SELECT", "by hand"]
    (root,) = capture.spans_named("by hand")
    (query,) = capture.spans_named("SELECT")
    assert query.proto.parent_span_id == root.proto.span_id


def test_the_sitecustomize_of_the_user_still_runs(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("print('mine')")
    with capturing() as capture:
        command = under_clew([sys.executable, "-c", "pass"], endpoint=capture.url)
        env = environment(PYTHONPATH=str(tmp_path))
        result = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    assert result.stdout == "mine\nmine\n"  # the first is that of `clew run` itself
    assert "clew: service" in result.stderr


def test_a_python_without_clew_says_what_to_do_and_runs_on(tmp_path: Path) -> None:
    bare = [sys.executable, "-S", "-c", "import site; site.main(); print('alive')"]
    env = environment(PYTHONPATH=str(tmp_path))
    (tmp_path / "opentelemetry").mkdir()
    (tmp_path / "opentelemetry" / "__init__.py").write_text("raise ImportError('an old one')")
    command = under_clew(bare, endpoint="http://127.0.0.1:9")
    result = subprocess.run(command, env=env, capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (0, "alive\n")
    assert result.stderr.count("\n") == 1
    assert "not instrumented" in result.stderr


def test_it_says_once_how_it_is_set_up(tmp_path: Path) -> None:
    program = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'pass'])"
    started = time.monotonic()
    command = under_clew(
        [sys.executable, "-c", program], endpoint="http://127.0.0.1:9", service_name="shop"
    )
    result = subprocess.run(command, env=environment(), capture_output=True, text=True)
    assert time.monotonic() - started < 60
    (line,) = (line for line in result.stderr.splitlines() if line.startswith("clew: service"))
    assert line.startswith("clew: service shop (from OTEL_SERVICE_NAME), to http://127.0.0.1:9")
    assert "flask" in line


def test_it_explains_what_it_would_do_and_starts_nothing(tmp_path: Path) -> None:
    (tmp_path / "orders.py").write_text("open('started', 'w')")
    program = tmp_path / "serve"
    program.write_text(f"#!{sys.executable}\nopen('started', 'w')")
    program.chmod(0o755)
    for command, name in (([sys.executable, "orders.py"], "orders"), (["./serve"], "serve")):
        result = subprocess.run(
            [*CLEW, "run", "--explain", "--endpoint", "http://collector:4318", "--", *command],
            env=environment(OTEL_EXPORTER_OTLP_HEADERS="authorization=b7f4-not-shown"),
            capture_output=True, text=True, cwd=tmp_path, check=True,
        )  # fmt: skip
        assert f"service        {name}, from " in result.stdout
        assert "endpoint       http://collector:4318" in result.stdout
        assert "flask" in result.stdout
        assert "b7f4-not-shown" not in result.stdout
    assert not (tmp_path / "started").exists()
