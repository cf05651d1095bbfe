"""Real programs under the agent: what they send, and that they run as they do without it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from clew import agent
from support.capture import (
    CLIENT,
    ERROR,
    SERVER,
    Capture,
    as_dict,
    capturing,
    free_port,
    running,
    under_clew_run,
)

WEB_APP = """
import logging
import os
import threading
import httpx
from fastapi import FastAPI
from sqlalchemy import create_engine, text

app = FastAPI()
engine = create_engine("sqlite:///data.db")
log = logging.getLogger("shop.web")

@app.get("/orders/{order_id}")
def show(order_id: str):
    log.info("looking", extra={"order_id": order_id})
    log.debug("too fine to export")
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    return httpx.get(os.environ["SELF"] + "/leaf").json()

@app.get("/leaf")
async def leaf():
    return {"pid": os.getpid()}

@app.get("/broken")
def broken():
    raise ValueError("no good")

@app.get("/measuring")
async def measuring():
    waiting = any(thread.name == "clew-system-metrics" for thread in threading.enumerate())
    return {"pid": os.getpid(), "measuring": not waiting}
"""

# Nothing is sent by the clock in these tests: what arrives was flushed at the end.
BY_FLUSH_ONLY = {
    "OTEL_BSP_SCHEDULE_DELAY": "600000",
    "OTEL_BLRP_SCHEDULE_DELAY": "600000",
    "OTEL_METRIC_EXPORT_INTERVAL": "600000",
}


def _wait_until_measuring(base: str, processes: int) -> None:
    """Until so many processes that answer at base measure themselves, which begins a second after
    their start."""
    deadline = time.monotonic() + 60
    measuring = set[int]()
    while len(measuring) < processes:
        assert time.monotonic() < deadline, f"{len(measuring)} of {processes} measure themselves"
        answer = httpx.get(f"{base}/measuring").json()
        if answer["measuring"]:
            measuring.add(answer["pid"])
        time.sleep(0.01)


def _clean_environment(**more: str) -> dict[str, str]:
    ours = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
    return {**ours, **more}


def _own_output(output: str) -> str:
    """The output without the line in which the agent says how it is set up."""
    announcements = [line for line in output.splitlines() if line.startswith("clew: service ")]
    assert len(announcements) == 1
    return output.replace(f"{announcements[0]}\n", "")


def _uvicorn(port: int, *more: str) -> list[str]:
    return [sys.executable, "-m", "uvicorn", "web.main:app", "--port", str(port), *more]


def _without_paths(output: str, directory: Path) -> str:
    """The output without the paths of libraries, of the agent and of the program, which may say
    anything: the frames of its tracebacks name the checkout."""
    for path in (sys.prefix, str(Path(agent.__file__).parent), str(directory)):
        output = output.replace(path, "")
    return output


def _write_app(directory: Path) -> None:
    (directory / "web").mkdir()
    (directory / "web" / "main.py").write_text(WEB_APP)


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Capture]:
    """What a web service sends from its start to its SIGTERM, for three requests."""
    directory = tmp_path_factory.mktemp("web")
    _write_app(directory)
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    env = _clean_environment(SELF=base, OTEL_PYTHON_EXCLUDED_URLS="measuring", **BY_FLUSH_ONLY)
    with capturing() as capture:
        command = under_clew_run(_uvicorn(port), endpoint=capture.url)
        with running(command, env, directory) as process:
            process.wait_for_port(port)
            baggage = {"baggage": "business.key=42,secret=1"}
            assert httpx.get(f"{base}/orders/7", headers=baggage).status_code == 200
            assert httpx.get(f"{base}/broken").status_code == 500
            _wait_until_measuring(base, processes=1)
            assert process.stop() == -signal.SIGTERM
            assert "looking" not in process.output.read_text()
            output = _own_output(process.output.read_text())
            assert "clew" not in _without_paths(output, directory)
        yield capture


def test_a_request_is_one_server_span_in_the_stable_conventions(sent: Capture) -> None:
    assert sorted(span.proto.name for span in sent.spans if span.proto.kind == SERVER) == [
        "GET /broken",
        "GET /leaf",
        "GET /orders/{order_id}",
    ]
    (span,) = sent.spans_named("GET /orders/{order_id}")
    assert span.attributes["http.request.method"] == "GET"
    assert span.attributes["http.route"] == "/orders/{order_id}"
    assert span.attributes["http.response.status_code"] == 200
    assert span.attributes["url.path"] == "/orders/7"
    old = {"http.method", "http.status_code", "http.target", "http.url"}
    assert not [one for one in sent.spans if old & one.attributes.keys()]


def test_calls_and_queries_are_its_descendants(sent: Capture) -> None:
    (root,) = sent.spans_named("GET /orders/{order_id}")
    (leaf,) = sent.spans_named("GET /leaf")
    (call,) = [s for s in sent.spans if s.proto.kind == CLIENT and "url.full" in s.attributes]
    (query,) = [span for span in sent.spans if "db.query.text" in span.attributes]
    assert query.attributes["db.system.name"] == "sqlite"
    assert query.attributes["db.query.text"] == "SELECT ?"
    assert call.proto.parent_span_id == query.proto.parent_span_id == root.proto.span_id
    assert leaf.proto.parent_span_id == call.proto.span_id


def test_neither_fastapi_itself_nor_single_messages_make_spans(sent: Capture) -> None:
    assert {span.scope for span in sent.spans} == {
        "opentelemetry.instrumentation.fastapi",
        "opentelemetry.instrumentation.httpx",
        "opentelemetry.instrumentation.sqlalchemy",
    }
    assert not [s for s in sent.spans if s.proto.name.endswith((" send", " receive"))]
    assert len({span.proto.span_id for span in sent.spans}) == len(sent.spans)


def test_log_records_carry_the_trace_and_their_extras(sent: Capture) -> None:
    (root,) = sent.spans_named("GET /orders/{order_id}")
    (log,) = sent.logs_saying("looking")
    assert (log.trace_id, log.proto.span_id) == (root.trace_id, root.proto.span_id)
    assert log.proto.severity_text == "INFO"
    assert log.attributes["order_id"] == "7"
    assert log.scope == "shop.web"
    assert log.attributes["code.file.path"].endswith("/web/main.py")
    assert log.attributes["code.function.name"] == "show"
    assert log.attributes["code.line.number"] > 0
    assert not sent.logs_saying("too fine to export")
    assert not [log for log in sent.logs if log.scope == "uvicorn.access"]


def test_an_exception_is_on_the_span_and_in_the_log(sent: Capture) -> None:
    (span,) = sent.spans_named("GET /broken")
    assert span.proto.status.code == ERROR
    (event,) = span.proto.events
    assert event.name == "exception"
    assert as_dict(event.attributes)["exception.type"] == "ValueError"
    (log,) = [log for log in sent.logs if log.attributes.get("exception.type") == "ValueError"]
    assert log.scope == "uvicorn.error"
    assert "no good" in log.attributes["exception.stacktrace"]
    assert (log.trace_id, log.proto.span_id) == (span.trace_id, span.proto.span_id)


def test_business_baggage_is_stamped_and_other_baggage_is_not(sent: Capture) -> None:
    (root,) = sent.spans_named("GET /orders/{order_id}")
    stamped = [span for span in sent.spans if span.attributes.get("business.key") == "42"]
    assert len(stamped) == len([s for s in sent.spans if s.trace_id == root.trace_id]) >= 4
    (log,) = sent.logs_saying("looking")
    assert log.attributes["business.key"] == "42"
    assert not [item for item in (*sent.spans, *sent.logs) if "secret" in item.attributes]


def test_process_and_system_metrics_come_without_deprecated_ones(sent: Capture) -> None:
    names = {metric.proto.name for metric in sent.metrics}
    assert {"process.memory.usage", "process.cpu.time", "system.cpu.time"} <= names
    assert "cpython.gc.collections" in names
    assert not [name for name in names if name.startswith("process.runtime.")]


def test_request_durations_have_exemplars_that_name_their_traces(sent: Capture) -> None:
    (metric,) = [m for m in sent.metrics if m.proto.name == "http.server.request.duration"]
    exemplars = [one for point in metric.proto.histogram.data_points for one in point.exemplars]
    named = {exemplar.trace_id.hex() for exemplar in exemplars}
    assert named == {span.trace_id for span in sent.spans}


def test_the_resource_names_service_process_and_host(sent: Capture) -> None:
    (resource,) = {
        tuple(sorted((key, str(value)) for key, value in item.resource.items()))
        for item in (*sent.spans, *sent.logs, *sent.metrics_of_processes())
    }
    attributes = dict(resource)
    assert attributes["service.name"] == "web"
    assert attributes["host.name"] == socket.gethostname()
    assert attributes["process.pid"].isdigit()
    assert len(attributes["service.instance.id"]) == 36


def test_each_worker_of_uvicorn_is_an_instance_of_the_service(tmp_path: Path) -> None:
    _write_app(tmp_path)
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    env = _clean_environment(SELF=base, OTEL_PYTHON_EXCLUDED_URLS="measuring", **BY_FLUSH_ONLY)
    with capturing() as capture:
        # A worker that still imports does not answer: on a busy machine for more than 5 s.
        workers = ("--workers", "2", "--timeout-worker-healthcheck", "60")
        command = under_clew_run(_uvicorn(port, *workers), endpoint=capture.url)
        with running(command, env, tmp_path) as process:
            process.wait_for_port(port)
            _wait_until_measuring(base, processes=2)
            pids = {httpx.get(f"{base}/leaf").json()["pid"] for _ in range(20)}
            process.stop()
    spans = capture.spans_named("GET /leaf")
    assert len(spans) == 20
    assert {span.resource["process.pid"] for span in spans} == pids
    everyone = {
        (metric.resource["process.pid"], metric.resource["service.instance.id"])
        for metric in capture.metrics_of_processes()
    }
    # Two workers and the process that watches over them, not multiprocessing's own helper.
    assert len(everyone) == len({pid for pid, _ in everyone}) == 3
    assert pids <= {pid for pid, _ in everyone}
    assert {metric.service for metric in capture.metrics_of_processes()} == {"web"}
    hosts = [metric for metric in capture.metrics if metric.proto.name.startswith("system.")]
    assert len({metric.proto.name for metric in hosts}) == len(hosts) > 5, "read once for the host"
    assert {key.partition(".")[0] for metric in hosts for key in metric.resource} <= {"host", "os"}


def test_a_forked_process_reports_itself(tmp_path: Path) -> None:
    program = """
import logging, os, sys, threading
logging.warning("before")
child = os.fork()
if child == 0:
    logging.warning("child")
    # What a process measures of itself begins after a second, on a thread that ends then.
    for thread in threading.enumerate():
        if thread.name == "clew-system-metrics":
            thread.join(60)
    sys.exit(0)
files = [open(os.devnull) for _ in range(200)]
os.waitpid(child, 0)
logging.warning("parent")
"""
    with capturing() as capture:
        command = under_clew_run([sys.executable, "-c", program], endpoint=capture.url)
        env = _clean_environment(**BY_FLUSH_ONLY)
        subprocess.run(command, env=env, cwd=tmp_path, check=True, capture_output=True)
    (child,), (parent,) = capture.logs_saying("child"), capture.logs_saying("parent")
    assert len(capture.logs_saying("before")) == 1
    for key in ("process.pid", "service.instance.id"):
        assert child.resource[key] != parent.resource[key]
    files = {
        metric.resource["process.pid"]: metric.proto.sum.data_points[0].as_int
        for metric in capture.metrics
        if metric.proto.name == "process.open_file_descriptor.count"
    }
    assert files[parent.resource["process.pid"]] > 200 > files[child.resource["process.pid"]]


# Each ends in a way of its own; with and without the agent it must be the same way.
PROGRAMS = {
    "logs without configuring it and raises": """
import logging
logging.getLogger("a").info("hidden")
logging.getLogger("a").warning("last resort")
logging.warning("configures stderr")
logging.getLogger("a").error("formatted now")
raise ValueError("no good")
""",
    "configures logging and is killed": """
import logging, os, signal
logging.basicConfig(level=logging.INFO, format="%(message)s")
logging.getLogger("a").info("shown")
logging.getLogger("a").debug("hidden")
assert logging.getLogger().level == logging.INFO
assert len(logging.getLogger().handlers) == 1
os.kill(os.getpid(), signal.SIGTERM)
""",
    "configures logging without a level": """
import logging
logging.basicConfig(format="%(message)s")
logging.getLogger("a").info("hidden")
logging.getLogger("a").warning("shown")
""",
    "exits": "import sys; print('bye'); sys.exit(3)",
    "warns": "import warnings; warnings.warn('careful')",
}


LIKE_OTHERS = {"configures logging without a level", "exits", "warns"}


@pytest.mark.parametrize(
    "program",
    [
        pytest.param(program, id=name, marks=pytest.mark.slow if name in LIKE_OTHERS else [])
        for name, program in PROGRAMS.items()
    ],
)
def test_a_program_runs_as_it_does_without_the_agent(program: str, tmp_path: Path) -> None:
    plain = [sys.executable, "-c", program]
    expected = subprocess.run(plain, capture_output=True, text=True, cwd=tmp_path)
    with capturing() as capture:
        command = under_clew_run(plain, endpoint=capture.url)
        env = _clean_environment()
        actual = subprocess.run(command, env=env, capture_output=True, text=True, cwd=tmp_path)
    assert (actual.returncode, actual.stdout, _own_output(actual.stderr)) == (
        expected.returncode,
        expected.stdout,
        expected.stderr,
    )


def test_a_log_call_that_cannot_be_rendered_does_not_raise(tmp_path: Path) -> None:
    program = "import logging; logging.warning('%d items', 'no'); print('went on')"
    with capturing() as capture:
        command = under_clew_run([sys.executable, "-c", program], endpoint=capture.url)
        result = subprocess.run(
            command, env=_clean_environment(), capture_output=True, text=True, cwd=tmp_path
        )
    assert result.stdout == "went on\n"
    assert "TypeError" in result.stderr


@pytest.fixture
def bad_collector(request: pytest.FixtureRequest) -> Iterator[str]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if request.param == "never answers":
            listener.listen()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize(
    "bad_collector",
    ["never answers", pytest.param("refuses", marks=pytest.mark.slow)],
    indirect=True,
)
def test_without_a_collector_the_service_works_and_says_so_once(
    bad_collector: str, tmp_path: Path
) -> None:
    _write_app(tmp_path)
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    # So often that an unfiltered exporter would fill pages.
    often = {
        "OTEL_BSP_SCHEDULE_DELAY": "20",
        "OTEL_BLRP_SCHEDULE_DELAY": "20",
        "OTEL_METRIC_EXPORT_INTERVAL": "50",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "0.1",
        "CLEW_FLUSH_TIMEOUT": "0.5",
    }
    env = _clean_environment(SELF=base, **often)
    with running(under_clew_run(_uvicorn(port), endpoint=bad_collector), env, tmp_path) as process:
        process.wait_for_port(port)
        for _ in range(30):
            assert httpx.get(f"{base}/orders/7").status_code == 200
        # Far below the half minute that the SDK takes for each signal.
        assert process.stop(deadline_s=10) == -signal.SIGTERM
    output = process.output.read_text()
    assert output.count("telemetry is not being delivered") == 1
    assert "Traceback" not in output
    assert "opentelemetry" not in output


@pytest.mark.parametrize("bad_collector", ["never answers", "refuses"], indirect=True)
def test_without_a_collector_a_program_still_ends(bad_collector: str, tmp_path: Path) -> None:
    plain = [sys.executable, "-c", "import logging; logging.warning('done')"]
    env = _clean_environment(CLEW_FLUSH_TIMEOUT="0.5")
    command = under_clew_run(plain, endpoint=bad_collector)
    # The SDK alone takes 10 s for each signal that is not answered: half a minute.
    result = subprocess.run(
        command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=20
    )
    assert result.returncode == 0
    assert _own_output(result.stderr).count("\n") <= 2
    assert "Traceback" not in result.stderr


def test_a_mistake_in_the_agents_own_settings_leaves_the_service_running(tmp_path: Path) -> None:
    env = _clean_environment(OTEL_TRACES_EXPORTER="nonsense")
    command = under_clew_run(
        [sys.executable, "-c", "print('alive')"], endpoint="http://127.0.0.1:9"
    )
    result = subprocess.run(command, env=env, capture_output=True, text=True, cwd=tmp_path)
    assert (result.returncode, result.stdout) == (0, "alive\n")
    assert "nonsense" in result.stderr
    assert result.stderr.count("clew: not instrumented") == 1


def test_the_sdk_can_be_switched_off(tmp_path: Path) -> None:
    with capturing() as capture:
        command = under_clew_run(
            [sys.executable, "-c", "import logging; logging.warning('x')"], endpoint=capture.url
        )
        env = _clean_environment(OTEL_SDK_DISABLED="true")
        subprocess.run(command, env=env, check=True, capture_output=True, cwd=tmp_path)
    assert not [*capture.spans, *capture.logs, *capture.metrics]


SECRETIVE_PROGRAM = """
import logging
from opentelemetry import metrics, trace
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

own = InMemorySpanExporter()
trace.get_tracer_provider().add_span_processor(SimpleSpanProcessor(own))
counter = metrics.get_meter("shop").create_counter("calls")
target = trace.Link(trace.SpanContext(1, 2, False), {"url.full": "https://a:WORD@host/"})
with trace.get_tracer("shop").start_as_current_span("GET /reset-password/WORD1", links=[target]) as span:
    span.set_attribute("url.full", "http://host/?api_key=WORD&page=2")
    span.set_attribute("http.request.header.authorization", ["Bearer WORD"])
    span.add_event("password=WORD", {"exception.message": "token: WORD"})
    span.set_status(trace.StatusCode.ERROR, "https://anna:WORD@host/ failed")
    counter.add(1, {"peer": "redis://:WORD@cache/0"})
    logging.getLogger("shop").warning("paid by %s", "4111 1111 1111 1111", extra={"client_secret": "WORD"})
(kept,) = own.get_finished_spans()
assert "WORD" in kept.to_json() and "REDACTED" not in kept.to_json()
"""


def _run_program(program: str, directory: Path, **environment: str) -> tuple[Capture, str]:
    """What a program sends, and what it prints."""
    with capturing() as capture:
        command = under_clew_run([sys.executable, "-c", program], endpoint=capture.url)
        result = subprocess.run(
            command,
            env=_clean_environment(**BY_FLUSH_ONLY, **environment),
            capture_output=True,
            text=True,
            cwd=directory,
        )
    assert result.returncode == 0, result.stderr
    return capture, result.stdout


def test_secrets_stay_in_the_process(tmp_path: Path) -> None:
    resource = "OTEL_RESOURCE_ATTRIBUTES"
    capture, _ = _run_program(SECRETIVE_PROGRAM, tmp_path, **{resource: "db.password=WORD"})
    (span,) = capture.spans_named("GET /reset-password/REDACTED")
    assert span.attributes["url.full"] == "http://host/?api_key=REDACTED&page=2"
    assert span.proto.links[0].attributes[0].value.string_value == "https://REDACTED:REDACTED@host/"
    (log,) = capture.logs_saying("paid by REDACTED")
    assert log.attributes["client_secret"] == "REDACTED"
    (counter,) = [metric for metric in capture.metrics if metric.proto.name == "calls"]
    assert "REDACTED" in str(counter.proto.sum.data_points[0].attributes)
    assert "WORD" not in str([request for _, request in capture.requests])
    assert "4111 1111" not in str([request for _, request in capture.requests])


def test_redaction_can_be_switched_off_and_have_further_names(tmp_path: Path) -> None:
    capture, _ = _run_program(SECRETIVE_PROGRAM, tmp_path, CLEW_REDACT="false")
    assert capture.spans_named("GET /reset-password/WORD1")
    program = (
        "import logging; logging.warning('x', extra={'customer.iban': 'DE1', 'password': 'x'})"
    )
    capture, _ = _run_program(program, tmp_path, CLEW_REDACT="iban, nickname")
    (log,) = capture.logs_saying("x")
    assert (log.attributes["customer.iban"], log.attributes["password"]) == ("REDACTED", "REDACTED")


def test_libraries_are_exported_below_warning_only_where_the_service_shows_them(
    tmp_path: Path,
) -> None:
    packages = tmp_path / "site-packages"
    packages.mkdir()
    (packages / "chatty.py").write_text("""
import logging
def talk(text):
    logging.getLogger("chatty").info("%s info", text)
    logging.getLogger("chatty").warning("%s warning", text)
""")
    program = """
import logging, chatty
own = logging.getLogger("own")
own.info("own alone")
chatty.talk("alone")
logging.basicConfig(level=logging.WARNING)
logging.getLogger("chatty").setLevel(logging.INFO)
logging.root.handlers[0].setLevel(logging.WARNING)
chatty.talk("hidden")
logging.root.handlers[0].setLevel(logging.NOTSET)
chatty.talk("shown")
"""
    capture, _ = _run_program(program, tmp_path, PYTHONPATH=str(packages))
    assert [log.proto.body.string_value for log in capture.logs] == [
        "own alone",
        "alone warning",
        "hidden warning",
        "shown info",
        "shown warning",
    ]


def test_access_logs_are_exported_in_a_process_without_spans_of_requests(tmp_path: Path) -> None:
    program = """
import logging
from opentelemetry import trace
access = logging.getLogger("gunicorn.access")
access.warning("before")
trace.get_tracer("shop").start_span("GET /", kind=trace.SpanKind.SERVER).end()
access.warning("after")
logging.getLogger("gunicorn.error").warning("other")
"""
    capture, _ = _run_program(program, tmp_path)
    assert [log.proto.body.string_value for log in capture.logs] == ["before", "other"]


HOST_PROGRAM = """
import os, sys, time
if sys.argv[1:] == ["fork"]:
    time.sleep(2)
    os.fork()
time.sleep(100)
"""


def _readings(capture: Capture) -> int:
    return len([metric for metric in capture.metrics if metric.proto.name == "system.cpu.time"])


@pytest.mark.skipif(sys.platform != "linux", reason="abstract sockets are Linux's")
def test_another_process_reads_the_host_when_the_first_is_killed(tmp_path: Path) -> None:
    env = _clean_environment(OTEL_METRIC_EXPORT_INTERVAL="100")
    script = tmp_path / "program.py"
    script.write_text(HOST_PROGRAM)
    with capturing() as capture:
        holder = under_clew_run([sys.executable, str(script), "fork"], endpoint=capture.url)
        other = under_clew_run([sys.executable, str(script)], endpoint=capture.url)
        with running(holder, env, tmp_path, "holder") as first:
            _wait_for(lambda: _readings(capture) > 15)  # it has forked
            with running(other, env, tmp_path, "other"):
                first.stop(signal.SIGKILL)
                before = _readings(capture)
                _wait_for(lambda: _readings(capture) > before + 3)
    systems = [metric for metric in capture.metrics if metric.proto.name.startswith("system.")]
    assert len({str(sorted(metric.resource.items())) for metric in systems}) == 1


def _wait_for(is_so: Callable[[], bool], deadline_s: float = 60) -> None:
    give_up = time.monotonic() + deadline_s
    while not is_so():
        assert time.monotonic() < give_up
        time.sleep(0.05)
