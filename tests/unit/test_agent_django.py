"""Django's requests: the agent's middleware records what contrib's does, and never harms one."""

from __future__ import annotations

import io
import logging
from typing import Any

import django
import pytest
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpResponse, StreamingHttpResponse
from django.urls import include, path, re_path
from opentelemetry import context, trace
from opentelemetry.instrumentation._semconv import _StabilityMode
from opentelemetry.instrumentation.propagators import (
    TraceResponsePropagator,
    set_global_response_propagator,
)
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased, Sampler
from opentelemetry.semconv._incubating.metrics.http_metrics import (
    create_http_server_active_requests,
)
from opentelemetry.util.http import ExcludeList

from clew.agent.entries import django as entries_django
from clew.agent.entries import request, wsgi
from clew.agent.entries.active import create_active_requests
from clew.agent.entries.django import DjangoMiddleware
from support.recorded import Recorded, stable_conventions

Environ = dict[str, Any]
CONTRIB: Any = DjangoMiddleware.__mro__[1]


def item(request: Any, number: int = 0) -> HttpResponse:
    return HttpResponse(str(number), headers={"x-stock": "3"})


def failed(request: Any) -> HttpResponse:
    return HttpResponse(status=503)


def raised(request: Any) -> HttpResponse:
    raise ValueError("no stock")


def stream(request: Any) -> StreamingHttpResponse:
    return StreamingHttpResponse(iter([b"a", b"b"]))


def named(request: Any) -> HttpResponse:
    span: Any = trace.get_current_span()
    span.update_name("an item")
    return HttpResponse()


urlpatterns = [
    path("items/<int:number>", item),
    path("failed", failed),
    path("raised", raised),
    path("stream", stream),
    path("named", named),
    path("", item, name="home"),
    path("shop/", include([path("items/<int:number>", item)])),
    re_path(r"^things/(?P<number>\d+)$", item),
]


class Closed:
    """A middleware that answers before the view."""

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: Any) -> Any:
        if "closed" in request.GET:
            return HttpResponse(status=401)
        return self.get_response(request)


class Installed:
    """Makes the middleware of the test at hand."""

    kind: Any = None

    def __new__(cls, get_response: Any) -> Any:
        return cls.kind(get_response)


@pytest.fixture(autouse=True, scope="module")
def configured() -> None:
    if not settings.configured:
        settings.configure(
            ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="x", LOGGING_CONFIG=None,
            MIDDLEWARE=[f"{__name__}.Installed", f"{__name__}.Closed"],
        )  # fmt: skip
        django.setup()


@pytest.fixture(autouse=True)
def conventions(monkeypatch: pytest.MonkeyPatch) -> None:
    stable_conventions(monkeypatch)


def environ_of(place: str = "/items/7", **more: Any) -> Environ:
    return {
        "REQUEST_METHOD": "GET", "PATH_INFO": place, "RAW_URI": place, "QUERY_STRING": "",
        "SERVER_PROTOCOL": "HTTP/1.1", "SERVER_NAME": "shop", "SERVER_PORT": "8000",
        "REMOTE_ADDR": "10.0.0.9", "REMOTE_PORT": "41000", "HTTP_HOST": "shop.example:8000",
        "SCRIPT_NAME": "", "wsgi.url_scheme": "http", "wsgi.input": io.BytesIO(),
        "wsgi.errors": io.StringIO(), **more,
    }  # fmt: skip


def middleware_of(kind: Any, recorded: Recorded, **attributes: Any) -> Any:
    """A class with what contrib's instrumentor would set."""
    meter = recorded.meters.get_meter("django")
    is_own = kind is DjangoMiddleware
    counter = create_active_requests if is_own else create_http_server_active_requests
    return type(
        "Middleware",
        (kind,),
        {
            "_tracer": recorded.tracers.get_tracer("django"),
            "_meter": meter,
            "_sem_conv_opt_in_mode": _StabilityMode.HTTP,
            "_duration_histogram_new": meter.create_histogram(
                "http.server.request.duration", unit="s"
            ),
            "_active_request_counter": counter(meter),
            "_excluded_urls": ExcludeList([]),
            **attributes,
        },
    )


def call(application: Any, environ: Environ) -> Any:
    answer: list[Any] = []

    def start_response(status: str, headers: Any, *_: Any) -> None:
        answer[:] = [status, headers]

    response = application(dict(environ), start_response)
    answer.append(b"".join(response))
    response.close()
    assert context.get_current() == {}
    return answer


def both(
    *environs: Environ, sampler: Sampler = ALWAYS_ON, **attributes: Any
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """What contrib's middleware records, and ours: answers, spans and points."""
    results = []
    for kind in (CONTRIB, DjangoMiddleware):
        with Recorded(sampler) as recorded:
            Installed.kind = middleware_of(kind, recorded, **attributes)
            application = WSGIHandler()
            answers = [call(application, environ) for environ in environs]
            results.append((answers, recorded.spans(), recorded.points()))
    return results[0], results[1]


def test_a_span_says_where_its_view_stands() -> None:
    with Recorded() as recorded:
        Installed.kind = middleware_of(DjangoMiddleware, recorded)
        call(WSGIHandler(), environ_of())
        ((name, _),) = recorded.places()
        assert name.startswith(f"{__name__}.")


PLACES = (
    "/items/7", "/failed", "/raised", "/stream", "/named", "/", "/shop/items/7", "/things/7",
    "/none", "/items/x",
)  # fmt: skip
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-"
MORE = (
    {"QUERY_STRING": "closed=1"},
    {"REQUEST_METHOD": "BREW"},
    {"REQUEST_METHOD": "POST"},
    {"HTTP_USER_AGENT": "curl/8"},
    {"HTTP_TRACEPARENT": f"{TRACEPARENT}01"},
    {"HTTP_TRACEPARENT": f"{TRACEPARENT}00"},
    {"wsgi.url_scheme": "https"},
)


@pytest.mark.parametrize("sampler", [ALWAYS_ON, ParentBased(ALWAYS_OFF)])
def test_requests_are_recorded_as_contrib_records_them(sampler: Sampler) -> None:
    environs = [environ_of(place) for place in PLACES] + [environ_of(**more) for more in MORE]
    expected, actual = both(*environs, sampler=sampler)
    for one, other in zip(actual, expected, strict=True):
        assert one == other


def _request_hook(span: Any, request: Any) -> None:
    span.set_attribute("path", request.path)


def _response_hook(span: Any, request: Any, response: Any) -> None:
    span.set_attribute("code", response.status_code)


@pytest.mark.parametrize(
    "attributes",
    [
        {"_otel_request_hook": staticmethod(_request_hook)},
        {"_otel_response_hook": staticmethod(_response_hook)},
        {"_traced_request_attrs": ["path_info"]},
        {"_excluded_urls": ExcludeList(["example:8000/items"])},
        {"_excluded_urls": ExcludeList(["health"])},
    ],
)
def test_options_mean_what_they_mean_to_contrib(attributes: dict[str, Any]) -> None:
    expected, actual = both(environ_of(), environ_of("/raised"), **attributes)
    assert actual == expected


def test_captured_headers_are_left_to_contrib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_RESPONSE", "x-.*")
    expected, actual = both(environ_of())
    assert actual == expected
    assert actual[1][0]["attributes"]["http.response.header.x_stock"] == ("3",)


def test_a_response_propagator_is_left_to_contrib() -> None:
    set_global_response_propagator(TraceResponsePropagator())
    try:
        for answers, _, _ in both(environ_of()):
            assert "traceresponse" in dict(answers[0][1])
    finally:
        set_global_response_propagator(None)  # type: ignore[no-untyped-call]


def test_a_request_within_a_span_is_an_inner_span() -> None:
    with Recorded() as recorded:
        Installed.kind = middleware_of(DjangoMiddleware, recorded)
        with recorded.tracers.get_tracer("shop").start_as_current_span("outer"):
            WSGIHandler()(environ_of(), lambda *_: None).close()
        inner, _ = recorded.spans()
    assert (inner["kind"], inner["parent"]) == ("INTERNAL", "local")


def test_a_mounted_application_is_named_after_its_route() -> None:
    """contrib looks for a route of the whole path, and finds none."""
    expected, actual = both(environ_of(SCRIPT_NAME="/mounted"))
    assert expected[1][0]["name"] == "GET"
    assert actual[1][0]["name"] == "GET items/<int:number>"


@pytest.mark.parametrize(
    ("module", "function"),
    [(wsgi, name) for name in ("connection_of", "collect_request_attributes", "point_attributes")]
    + [(entries_django, "extract"), (wsgi, "record_status")],
)
def test_an_error_of_the_agent_does_not_reach_the_service(
    module: Any,
    function: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise RuntimeError("a mistake")

    monkeypatch.setattr(request, "_has_complained", False)
    with Recorded() as recorded, caplog.at_level(logging.WARNING):
        Installed.kind = middleware_of(DjangoMiddleware, recorded)
        application = WSGIHandler()
        monkeypatch.setattr(module, function, fail)
        for _ in range(3):
            assert call(application, environ_of())[0] == "200 OK"
    assert len(caplog.messages) == 1


def test_what_leaves_the_application_ends_the_span() -> None:
    def get_response(request: Any) -> Any:
        raise ValueError("no stock")

    with Recorded() as recorded:
        middleware = middleware_of(DjangoMiddleware, recorded)(get_response)
        with pytest.raises(ValueError, match="no stock"):
            middleware(WSGIHandler.request_class(environ_of()))
        assert context.get_current() == {}
        [span] = recorded.spans()
    assert span["status"] == ("ERROR", "ValueError: no stock")


def test_it_stands_where_contribs_stood() -> None:
    def replaced(**names: Any) -> Any:
        module = type(logging)("contrib.module")
        vars(module).update(names)
        entries_django.replace(module)
        return module

    assert replaced(DjangoInstrumentor=None).create_http_server_active_requests
    assert replaced()._DjangoMiddleware is DjangoMiddleware
    # Django imports it by this path.
    assert DjangoMiddleware.__module__ == "contrib.module"
    assert DjangoMiddleware.__qualname__ == "_DjangoMiddleware"


def test_with_a_sampler_that_reads_names_the_route_is_found_first() -> None:
    class ByName(Sampler):
        names: list[str] = []  # noqa: RUF012

        def should_sample(
            self, parent_context: Any, trace_id: int, name: str, *_: Any, **__: Any
        ) -> Any:
            self.names.append(name)
            return ALWAYS_ON.should_sample(parent_context, trace_id, name)

        def get_description(self) -> str:
            return "by name"

    expected, actual = both(environ_of(), sampler=ByName())
    assert actual == expected
    assert ByName.names == ["GET items/<int:number>"] * 2
