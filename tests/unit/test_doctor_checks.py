"""Every check of a service: a run that has the fault, and one that has not."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from clew.agent.settings import apply_defaults
from clew.cli.doctor import verdicts
from clew.cli.doctor.connection import (
    Destination,
    Response,
    clock_verdict,
    endpoint_verdict,
    key_verdict,
)
from clew.cli.doctor.service import Run, SeenProcess, SentRequest
from clew.cli.doctor.service_checks import CHECKS, examine_service
from clew.cli.doctor.telemetry import CLIENT, SERVER, Span, Telemetry
from clew.cli.doctor.verdicts import Line, Verdict

MS = 1_000_000
FASTAPI = "opentelemetry.instrumentation.fastapi"
HTTPX = "opentelemetry.instrumentation.httpx"


def environ(**more: str) -> dict[str, str]:
    values = dict(more)
    apply_defaults(values)
    return values


def span(kind: int, start: int, end: int, **fields: Any) -> Span:
    """Times are milliseconds."""
    values: dict[str, Any] = {
        "trace_id": "a", "span_id": f"{kind}{start}", "parent_id": "", "name": "GET /", "scope": FASTAPI,
        "service": "web", "process": "7", "attributes": {"url.path": "/"},
    } | fields  # fmt: skip
    return Span(kind=kind, start=start * MS, end=end * MS, **values)


def call(start: int, end: int, **fields: Any) -> Span:
    fields = {"attributes": {"url.full": "http://web/?a=1"}, "scope": HTTPX} | fields
    return span(CLIENT, start, end, **fields)


def elsewhere(start: int, end: int, **fields: Any) -> Span:
    """A call to a service that is not in the run."""
    return call(start, end, trace_id=f"{start}", attributes={"url.full": "http://b/c"}, **fields)


def report(pid: int = 7, **more: Any) -> dict[str, Any]:
    return {
        "pid": pid, "root_level": 20, "root_level_is_ours": True, "disabled_level": 0,
        "interval_s": 0.02, "samples": {"": 50, "httpx": 500}, "instrumented": ["httpx"],
    } | more  # fmt: skip


def healthy(**changes: Any) -> Run:
    """A run in which nothing is wrong, but for the changes."""
    spans = changes.pop("spans", None)
    telemetry = changes.pop("telemetry", None) or Telemetry(services={"web"}, processes={"7"})
    if spans is None:
        spans = [
            span(SERVER, 0, 10),
            call(1, 9, parent_id="20"),
            span(SERVER, 2, 8, parent_id="31"),
        ]
    telemetry.spans += spans
    telemetry.items.update(changes.pop("items", {"traces": len(spans), "logs": 3, "metrics": 9}))
    values: dict[str, Any] = {
        "environ": environ(), "telemetry": telemetry, "reports": [report()], "seconds": 15.0,
        "processes": [SeenProcess(7, "python app.py")], "is_handed_on": True,
    } | changes  # fmt: skip
    return Run(**values)


def verdict(name: str, run: Run) -> Verdict:
    (line,) = (line for line in examine_service(run) if line.check == name)
    return line.verdict


def counted(requests: int) -> Telemetry:
    telemetry = Telemetry(services={"web"}, processes={"7"})
    telemetry._requests["7", "http.server.request.duration"] = requests
    return telemetry


def sent_request(trace_id: str = "doctor") -> SentRequest:
    return SentRequest("http://web/?a=1", trace_id, "b", 0, 20 * MS, Response("http://web/", 200))


def test_a_healthy_run_has_no_fault() -> None:
    lines = examine_service(healthy())
    assert [line.check for line in lines] == [check.name for check in CHECKS]
    assert {line.verdict.status for line in lines} == {"ok"}
    assert not [line for line in lines if line.verdict.mend]
    assert verdicts.exit_status(lines) == 0


# For each fault: the check, its status, words of its text, words of its mend, and the run.
FAULTS: Mapping[str, tuple[str, str, str, str, Callable[[], Run]]] = {
    "it fails": (
        "service", "fail", "status 3: No module named app", "without clew",
        lambda: healthy(exit_status=3, last_lines=["No module named app"]),
    ),
    "isolated Python": ("agent", "fail", "did not start", "-I", lambda: healthy(reports=[])),
    "switched off": (
        "agent", "fail", "CLEW_ENABLED=false", "unset",
        lambda: healthy(reports=[], environ=environ(CLEW_ENABLED="false")),
    ),
    "no clew there": (
        "agent", "fail", "cannot import clew", "the line",
        lambda: healthy(reports=[], words=["clew: not instrumented: python cannot import clew"]),
    ),
    "releases clash": (
        "agent", "warn", "of another release", "the line",
        lambda: healthy(words=["clew: opentelemetry-sdk 1.44 is of another release than"]),
    ),
    "a worker without the agent": (
        "workers", "fail", "1 of 2 processes run without the agent: 8 (python worker.py)", "PYTHONPATH",
        lambda: healthy(processes=[SeenProcess(7, "a"), SeenProcess(8, "python worker.py")]),
    ),
    "traces off": (
        "traces", "warn", "OTEL_TRACES_EXPORTER=none", "unset",
        lambda: healthy(environ=environ(OTEL_TRACES_EXPORTER="none"), spans=[]),
    ),
    "requests without spans": (
        "traces", "fail", "no span came", "--explain",
        lambda: healthy(spans=[], requests=[sent_request()]),
    ),
    "logs off": (
        "logs", "warn", "OTEL_PYTHON_LOG_AUTO_INSTRUMENTATION=false", "unset",
        lambda: healthy(environ=environ(OTEL_PYTHON_LOG_AUTO_INSTRUMENTATION="false")),
    ),
    "metrics off": (
        "metrics", "warn", "OTEL_METRICS_EXPORTER=console", "CLEW_EXPORTER",
        lambda: healthy(environ=environ(CLEW_EXPORTER="console")),
    ),
    "no metrics": (
        "metrics", "fail", "no point", "OTEL_PYTHON_DISABLED",
        lambda: healthy(items={"traces": 3, "logs": 1}),
    ),
    "refused": (
        "delivery", "fail", "4 requests, 3 answered 403", "key",
        lambda: healthy(refused={403: 3, 0: 1}),
    ),
    "the root logger": (
        "log level", "warn", "the root logger's level is WARNING", "setLevel(logging.INFO)",
        lambda: healthy(reports=[report(root_level=30, root_level_is_ours=False)]),
    ),
    "logging is disabled": (
        "log level", "warn", "logging.disable(30)", "NOTSET",
        lambda: healthy(reports=[report(disabled_level=30)]),
    ),
    "the agent's level": (
        "log level", "warn", "OTEL_PYTHON_LOG_LEVEL=ERROR", "unset",
        lambda: healthy(environ=environ(OTEL_PYTHON_LOG_LEVEL="error")),
    ),
    "no propagator": (
        "propagation", "fail", "OTEL_PROPAGATORS=b3", "tracecontext",
        lambda: healthy(environ=environ(OTEL_PROPAGATORS="b3")),
    ),
    "no traceparent": (
        "propagation", "fail", "web GET / called web GET /", "inject: ",
        lambda: healthy(spans=[call(1, 9), span(SERVER, 2, 8, trace_id="b")]),
    ),
    "an ignored traceparent": (
        "propagation", "fail", "traceparent was ignored", "middleware",
        lambda: healthy(spans=[span(SERVER, 2, 8)], requests=[sent_request()]),
    ),
    "a lost context": (
        "propagation", "warn", "3 calls were made during a request and have no parent", "copy_context",
        lambda: healthy(
            spans=[span(SERVER, 0, 10), *(elsewhere(n, n + 1) for n in (1, 3, 5))]
        ),
    ),
    "a slow library": (
        "libraries", "warn", "of 11.0 s busy: slowlib 10.0 s", "clew.agent.span('slowlib')",
        lambda: healthy(reports=[report(samples={"": 50, "slowlib": 500})]),
    ),
    "a slow library that can be instrumented": (
        "libraries", "warn", "openai 10.0 s", "clew run --install",
        lambda: healthy(reports=[report(samples={"": 50, "openai": 500})]),
    ),
    "a client without traceparent": (
        "libraries", "warn", "http 10.0 s", "send the traceparent",
        lambda: healthy(reports=[report(samples={"": 50, "http": 500})]),
    ),
    "two spans for one call": (
        "doubled spans", "warn", f"1 calls have two spans, of native and of {HTTPX}",
        "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS=httpx",
        lambda: healthy(
            spans=[call(0, 9, scope="native", span_id="n"), call(1, 8, parent_id="n")]
        ),
    ),
    "old names by a setting": (
        "conventions", "warn", f"{FASTAPI} writes http.method, which is http.request.method now",
        "OTEL_SEMCONV_STABILITY_OPT_IN",
        lambda: healthy(
            environ=environ(OTEL_SEMCONV_STABILITY_OPT_IN="database"),
            spans=[span(SERVER, 0, 1, attributes={"http.method": "GET"})],
        ),
    ),
    "old names in code": (
        "conventions", "warn", "my.code writes db.statement", "rename",
        lambda: healthy(spans=[call(0, 1, scope="my.code", attributes={"db.statement": "x"})]),
    ),
    "no sampling": (
        "sampling", "fail", "no trace is recorded", "CLEW_SAMPLE=1",
        lambda: healthy(environ=environ(CLEW_SAMPLE="0")),
    ),
    "always off": (
        "sampling", "fail", "OTEL_TRACES_SAMPLER=always_off", "CLEW_SAMPLE=1",
        lambda: healthy(environ=environ(OTEL_TRACES_SAMPLER="always_off")),
    ),
    "callers do not sample": (
        "sampling", "warn", "100 requests were counted and 2 recorded", "callers decide",
        lambda: healthy(telemetry=counted(100)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_said_with_its_mend(fault: str) -> None:
    check, status, text, mend, make = FAULTS[fault]
    result = verdict(check, make())
    assert result.status == status
    assert text in result.text
    assert mend in result.mend


def test_every_check_has_a_fault_that_it_finds() -> None:
    assert {check for check, *_ in FAULTS.values()} == {check.name for check in CHECKS}


@pytest.mark.parametrize(
    ("check", "run"),
    [
        ("service", lambda: healthy(exit_status=0)),
        ("traces", lambda: healthy(spans=[])),
        ("logs", lambda: healthy(items={"traces": 3, "metrics": 1})),
        ("metrics", lambda: healthy(items={"traces": 3}, seconds=1.0)),
        ("metrics", lambda: healthy(environ=environ(CLEW_EXPORTER="statsd"))),
        ("log level", lambda: healthy(reports=[report(root_level=30)])),
        ("propagation", lambda: healthy(requests=[sent_request("a")])),
        # A background job's call is not the request's, nor is that of another process.
        ("propagation", lambda: healthy(spans=[span(SERVER, 5, 6), *(elsewhere(n, n + 3) for n in range(9))])),
        ("propagation", lambda: healthy(spans=[span(SERVER, 0, 99), *(elsewhere(n, n + 1, process="8") for n in range(9))])),
        ("libraries", lambda: healthy(reports=[report(samples={"": 500, "lib": 10})])),
        # A retry is a call of its own, as is a call to another address.
        ("doubled spans", lambda: healthy(spans=[call(0, 2), call(3, 5)])),
        ("doubled spans", lambda: healthy(spans=[call(0, 9, span_id="n"), call(1, 8, parent_id="n", scope="x", attributes={"url.full": "http://b"})])),
        # What has no other names cannot be mended.
        ("conventions", lambda: healthy(spans=[span(SERVER, 0, 1, attributes={"http.method": "GET"})])),
        ("sampling", lambda: healthy(environ=environ(CLEW_SAMPLE="0.1"))),
    ],
)  # fmt: skip
def test_what_is_in_order_is_no_fault(check: str, run: Callable[[], Run]) -> None:
    assert verdict(check, run()).status in ("ok", "none")


DESTINATION = Destination.of_environment(environ())
WITH_KEY = Destination.of_environment(environ(CLEW_API_KEY="secret of mine"))
URL = "http://127.0.0.1:4318/v1/traces"


def test_a_destination_is_read_as_the_exporters_read_it() -> None:
    assert WITH_KEY.headers == {"authorization": "Bearer secret of mine"}
    other = Destination.of_environment(
        environ(
            OTEL_EXPORTER_OTLP_LOGS_ENDPOINT="http://logs/in", CLEW_ENDPOINT="https://clew:4318/"
        )
    )
    assert other.urls == {
        "traces": "https://clew:4318/v1/traces",
        "metrics": "https://clew:4318/v1/metrics",
        "logs": "http://logs/in",
    }


@pytest.mark.parametrize(
    ("response", "status", "mend"),
    [
        (Response(URL, 200), "ok", ""),
        (Response(URL, 401), "ok", ""),
        (Response(URL, reason="connection refused"), "fail", "start clew up there"),
        (Response(URL, reason="what listens there does not speak HTTP/1.1"), "fail", "4317"),
        (Response(URL, reason="it does not speak TLS"), "fail", "http://"),
        (Response(URL, 404, "Not Found"), "fail", "4318"),
        (Response(URL, 403, content_type="application/problem+json"), "fail", "4318"),
        (Response(URL, 503, "Unavailable"), "fail", "log"),
    ],
)
def test_an_endpoint_is_judged_by_its_answer(response: Response, status: str, mend: str) -> None:
    result = endpoint_verdict(response, DESTINATION)
    assert result.status == status
    assert mend in result.mend
    assert bool(result.mend) == bool(mend)


@pytest.mark.parametrize(
    ("response", "destination", "status", "text"),
    [
        (Response(URL, 200), DESTINATION, "ok", "none is needed"),
        (Response(URL, 200), WITH_KEY, "ok", "accepted"),
        (Response(URL, 401), DESTINATION, "fail", "none is set"),
        (Response(URL, 401), WITH_KEY, "fail", "not known"),
        (Response(URL, 403), WITH_KEY, "fail", "scope `ingest`"),
        (Response(URL), WITH_KEY, "none", "not checked"),
    ],
)
def test_a_key_is_judged_by_the_answer(
    response: Response, destination: Destination, status: str, text: str
) -> None:
    result = key_verdict(response, destination)
    assert (result.status, bool(result.mend)) == (status, status == "fail")
    assert text in result.text


@pytest.mark.parametrize(
    ("skew", "status", "text"),
    [
        (None, "none", "does not say"),
        (1.5, "ok", "agrees"),
        (90.2, "warn", "this clock is 90 s behind that"),
        (-3600.0, "warn", "this clock is 3600 s ahead of that"),
    ],
)
def test_a_clock_is_compared(skew: float | None, status: str, text: str) -> None:
    result = clock_verdict(Response(URL, 200, skew=skew))
    assert result.status == status
    assert text in result.text


def test_verdicts_are_printed_as_text_and_as_a_document() -> None:
    lines = [Line("key", Verdict("ok", "fine")), Line("clock", Verdict("warn", "late", "set it"))]
    assert verdicts.as_text(lines).splitlines() == [
        "ok    key              fine",
        "WARN  clock            late",
        "                       mend: set it",
        "",
        "1 of 2 checks found something",
    ]
    document = json.loads(verdicts.as_json(lines))
    assert document["ok"] is False
    assert document["checks"][1] == {
        "check": "clock", "status": "warn", "text": "late", "mend": "set it",
    }  # fmt: skip
    assert verdicts.exit_status(lines) == 1
    assert verdicts.as_text(lines[:1]).endswith("nothing wrong")
