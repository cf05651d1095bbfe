"""Errors are problem documents, and no text of a request becomes SQL."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from clew.api import create_app
from clew.storage import Ingest, Reader, Store
from support.api_client import ApiClient
from support.traffic import SECOND, Generator, Loader, Log, Point, Process

BEGAN = 1_780_308_000 * SECOND
WEB = Process("web", "web-1")
WINDOW = {"start": "2026-06-01T09:59:00Z", "end": "2026-06-01T10:30:00Z"}
LISTS = ("/api/v1/transactions", "/api/v1/traces", "/api/v1/logs", "/api/v1/services")


@pytest.fixture(scope="module")
def api(emptied: Callable[[], Store], tmp_path_factory: pytest.TempPathFactory) -> ApiClient:
    store = emptied()
    loader = Loader(Ingest(store), tmp_path_factory.mktemp("segments"))
    generator = Generator(4, (WEB, Process("orders", "orders-1")))
    loader.spans(
        span for n in range(5) for span in generator.trace(WEB, "GET /", BEGAN + n * SECOND)
    )
    loader.logs([Log(BEGAN + SECOND, WEB, "INFO", "hello", {"a": "b"})])
    loader.points([Point("size", "1", "gauge", WEB, BEGAN + SECOND, 1.0)])
    return ApiClient(store)


def _cursor(**position: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(position).encode()).decode()


@pytest.mark.sampled(3)
@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize(
    ("parameters", "status", "mention"),
    [
        ({"start": "yesterday"}, 400, "start"),
        ({"end": "2026-02-30T00:00:00Z"}, 400, "end"),
        ({"start": "now", "end": "-1h"}, 400, "start"),
        ({"start": "2026-06-01T10:00:00Z", "end": "2026-06-01T10:00:00Z"}, 400, "start"),
        ({"end": "2300-01-01T00:00:00Z"}, 400, "end"),
        ({"limit": "0"}, 422, "limit"),
        ({"limit": "1001"}, 422, "limit"),
        ({"limit": "-5"}, 422, "limit"),
        ({"limit": "many"}, 422, "limit"),
        ({"limit": "1e2"}, 422, "limit"),
        ({"cursor": "no cursor"}, 400, "cursor"),
        ({"cursor": _cursor(start=1)}, 400, "cursor"),
        ({"cursor": _cursor(start="1", end="2")}, 400, "cursor"),
        ({"cursor": _cursor(start=1, end=2, time="x")}, 400, "cursor"),
        ({"cursor": _cursor(start=1, end=2, count="x")}, 400, "cursor"),
        ({"explain": "perhaps"}, 422, "explain"),
    ],
    ids=str,
)
def test_a_problem_names_the_parameter(
    api: ApiClient, path: str, parameters: dict[str, str], status: int, mention: str
) -> None:
    problem = api.problem(path, **parameters)
    assert problem["status"] == status
    assert mention in problem["detail"]


@pytest.mark.parametrize(
    ("path", "parameters", "status", "mention"),
    [
        ("/api/v1/traces", {"status": "fine"}, 422, "status"),
        ("/api/v1/traces", {"min_duration_ms": "long"}, 422, "min_duration_ms"),
        ("/api/v1/traces", {"max_duration_ms": ""}, 422, "max_duration_ms"),
        ("/api/v1/traces", {"attr": "nothing"}, 400, "attr"),
        ("/api/v1/traces", {"attr": ["a=b", "c>d"]}, 400, "attr"),
        ("/api/v1/traces", {"attr": "amount>1e999"}, 400, "attr"),
        ("/api/v1/logs", {"attr": "=x"}, 400, "attr"),
        ("/api/v1/transactions/0123456789abcdef", {}, 404, "0123456789abcdef"),
        ("/api/v1/transactions/0123456789abcdef/instances", {}, 404, "0123456789abcdef"),
        ("/api/v1/transactions/x", {"start": "x"}, 400, "start"),
        ("/api/v1/traces/00000000000000000000000000000001", {}, 404, "0000000000000001"),
        ("/api/v1/traces/x", {"explain": "x"}, 422, "explain"),
        ("/api/v1/nothing", {}, 404, "Not Found"),
    ],
)
def test_every_error_is_a_problem_document(
    api: ApiClient, path: str, parameters: dict[str, Any], status: int, mention: str
) -> None:
    problem = api.problem(path, **parameters)
    assert problem["status"] == status
    assert mention in problem["detail"]


def test_errors_of_several_parameters_are_separate(api: ApiClient) -> None:
    problem = api.problem("/api/v1/traces", limit="x", status="y")
    assert {error["parameter"] for error in problem["errors"]} == {"limit", "status"}


@pytest.mark.parametrize(
    ("path", "unknown", "nearest"),
    [
        ("/api/v1/traces", "min_duration", "min_duration_ms"),
        ("/api/v1/traces", "Limit", "limit"),
        ("/api/v1/transactions", "enviroment", "environment"),
        ("/api/v1/transactions/0123456789abcdef/instances", "stauts", "status"),
        ("/api/v1/logs", "querry", "query"),
        ("/api/v1/services/map", "strat", "start"),
        ("/api/v1/traces/00000000000000000000000000000001", "explian", "explain"),
    ],
)
def test_an_unknown_parameter_is_a_problem_that_names_the_nearest(
    api: ApiClient, path: str, unknown: str, nearest: str
) -> None:
    problem = api.problem(path, **{unknown: "1"})
    assert problem["status"] == 400
    assert f"{unknown!r}: the nearest known one is {nearest!r}" in problem["detail"]
    assert [error["parameter"] for error in problem["errors"]] == [unknown]


def test_every_unknown_parameter_is_named(api: ApiClient) -> None:
    problem = api.problem("/api/v1/logs", lmit="1", trace="x", service="web")
    assert {error["parameter"] for error in problem["errors"]} == {"lmit", "trace"}


def test_a_path_without_parameters_says_so(api: ApiClient) -> None:
    response = api.send("PUT", "/api/v1/definitions", params={"start": "-1h"})
    assert response.status_code == 400
    assert "this path has no parameters" in response.json()["detail"]


@pytest.mark.parametrize(
    "path", ["/api/v1/definitions", "/api/v1/definitions/schema", "/api/v1/ledger"]
)
def test_every_read_takes_the_common_parameters(api: ApiClient, path: str) -> None:
    common = {"environment": "prod", "limit": "10", "explain": "true"}
    assert api.response(path, **WINDOW, **common).status_code == 200


def test_no_path_of_the_api_ignores_a_parameter(api: ApiClient) -> None:
    paths = [
        route for route in api.app.openapi()["paths"].items() if route[0].startswith("/api/v1/")
    ]
    assert paths
    for path, methods in paths:
        for method in methods:
            response = api.send(method.upper(), path, params={"unknown": "1"})
            assert response.status_code == 400, (method, path)
            assert "'unknown'" in response.json()["detail"]


def test_jaeger_clients_may_send_parameters_that_clew_does_not_know(api: ApiClient) -> None:
    assert api.response("/api/services", unknown="1").status_code == 200


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2026-06-01 10:00:00", "2026-06-01 10:00:03"),
        ("2026-06-01T10:00:00", "2026-06-01T10:00:03"),
        ("1780308000", "1780308003"),
        ("1780308000000", "1780308003000"),
        ("1780308000000000", "1780308003000000"),
        ("1780308000000000000", "1780308003000000000"),
    ],
)
@pytest.mark.parametrize("path", ["/api/v1/traces", "/api/v1/logs"])
def test_a_window_may_be_written_as_epoch_times_or_without_a_zone(
    api: ApiClient, path: str, start: str, end: str
) -> None:
    expected = api.get(path, start="2026-06-01T10:00:00Z", end="2026-06-01T10:00:03Z")
    document = api.get(path, start=start, end=end)
    member = path.rsplit("/", 1)[1]
    assert expected[member]
    assert document[member] == expected[member]


HOSTILE = {
    "quote": "'",
    "quotes": "''\"`",
    "backslash": "\\",
    "backslash and quote": "\\'",
    "a statement": "'; DROP TABLE otel.otel_traces; --",
    "a condition": "' OR 1=1 --",
    "a comment": "*/ /*filters*/ --",
    "a parameter": "{start:DateTime64(9)}",
    "braces": "{{0}}{}{",
    "a format": "%s%(x)s%%",
    "null": "NULL",
    "escaped null": "\\N",
    "zero": "a\x00b",
    "controls": "\t\n\r\x1b\x7f",
    "emoji": "\N{COLLISION SYMBOL}\N{ZERO WIDTH JOINER}",
    "an array": "['x', NULL]",
    "a wildcard": "%_*?",
    "long": "x" * 20_000,
    "empty": "",
    "a function": "file('/etc/passwd')",
}
# Of those that are like one another one is enough where each takes many requests.
KINDS = {"backslash and quote", "a statement", "a parameter", "zero", "long", "empty"}
HOSTILE_TEXTS = [
    pytest.param(text, id=name, marks=[] if name in KINDS else pytest.mark.slow)
    for name, text in HOSTILE.items()
]
TEXTS = {
    "/api/v1/transactions": ("environment",),
    "/api/v1/traces": ("environment", "service", "operation", "transaction"),
    "/api/v1/logs": ("environment", "service", "severity", "query", "trace_id"),
    "/api/v1/services": ("environment", "service"),
}


@pytest.mark.sampled(5)
@pytest.mark.parametrize("text", HOSTILE_TEXTS)
@pytest.mark.parametrize(
    ("path", "name"), [(path, name) for path, names in TEXTS.items() for name in names]
)
def test_any_text_is_only_a_value_that_matches_nothing(
    api: ApiClient, path: str, name: str, text: str
) -> None:
    answer = api.get(path, **WINDOW, **{name: text})
    member = path.rpartition("/")[2]
    if name == "query" or (text == "" and name in ("transaction", "severity", "trace_id")):
        return  # without a word in it, it asks for nothing in particular
    assert answer[member] == []


@pytest.mark.sampled(3)
@pytest.mark.parametrize("text", HOSTILE_TEXTS)
@pytest.mark.parametrize("path", ["/api/v1/traces", "/api/v1/logs"])
def test_any_text_is_only_a_key_or_a_value_that_matches_nothing(
    api: ApiClient, path: str, text: str
) -> None:
    member = path.rpartition("/")[2]
    key = "".join(mark for mark in text if mark not in "=!~<>") or "x"
    for operator in ("=", "~"):
        assert api.get(path, **WINDOW, attr=f"{key}{operator}{text}")[member] == []
        value = api.get(path, **WINDOW, attr=f"service.name{operator}{text}")[member]
        assert value == [] or (operator, text) == ("~", "")
    everything = api.get(path, **WINDOW)[member]
    assert everything
    assert api.get(path, **WINDOW, attr=f"{key}!={text}")[member] == everything


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_any_text_as_an_id_is_status_404(api: ApiClient, text: str) -> None:
    id = quote(text or "-", safe="")
    for path in (
        "/api/v1/traces/{}",
        "/api/v1/transactions/{}",
        "/api/v1/transactions/{}/instances",
    ):
        assert api.problem(path.format(id))["status"] == 404


NEW_WINDOW = {"baseline_start": WINDOW["start"], "baseline_end": WINDOW["end"]}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_any_text_matches_nothing_in_the_other_routes(api: ApiClient, text: str) -> None:
    text = text[:5000]  # a URL has an end, and some of these stand in it three times
    key = "".join(mark for mark in text if mark not in "=!~<>") or "x"
    attr = f"{key}={text}"
    in_path = quote(text.replace("\n", "") or "-", safe="")  # a path has no line ends
    for path, parameters, member in (
        ("/api/v1/services/map", {"environment": text}, "nodes"),
        ("/api/v1/attributes", {"service": text}, "attributes"),
        ("/api/v1/attributes", {"prefix": f"{text}x", "source": "log"}, "attributes"),
        (f"/api/v1/attributes/{in_path}/values", {"prefix": text}, "values"),
        ("/api/v1/attributes/x/values", {"service": text}, "values"),
        ("/api/v1/metrics", {"environment": text}, "metrics"),
        ("/api/v1/metrics", {"service": text, "prefix": text}, "metrics"),
        ("/api/v1/metrics/query", {"name": text, "service": text, "by": text}, "series"),
        ("/api/v1/metrics/query", {"name": "size", "attr": attr, "by": [text, "x"]}, "series"),
        ("/api/v1/compare", {"attr": attr, "baseline_attr": attr}, "attributes"),
        ("/api/v1/compare", {"version": text or "x", "baseline_version": text}, "operations"),
        ("/api/v1/compare", NEW_WINDOW | {"transaction": text}, "attributes"),
        ("/api/v1/compare", {"slow": "true", "service": text, "operation": text}, "attributes"),
    ):
        assert api.get(path, **WINDOW, **parameters, explain="true")[member] == []
    assert api.get("/api/v1/metrics/query", **WINDOW, name="size", by=text)["series"] == [
        {
            "service": "web",
            "type": "gauge",
            "unit": "1",
            "aggregation": "avg",
            "labels": {text: ""},
            "points": [{"time": "2026-06-01T10:00:00.000000000Z", "value": 1.0}],
        }
    ]


@pytest.mark.parametrize("bound", ["nan", "inf", "-inf", "1e308", "-0.0", "1e-320"])
def test_any_number_is_a_duration(api: ApiClient, bound: str) -> None:
    for name in ("min_duration_ms", "max_duration_ms"):
        answer = api.get("/api/v1/traces", **WINDOW, **{name: bound}, explain="true")
        assert len(answer["traces"]) in (0, 5)


def test_the_tables_are_still_there(api: ApiClient) -> None:
    assert len(api.get("/api/v1/traces", **WINDOW)["traces"]) == 5


def test_health_and_readiness(store: Store) -> None:
    api = ApiClient(store)
    assert api.response("/healthz").text == "ok\n"
    assert api.response("/readyz").text == "ready\n"
    api.app = create_app(Reader(store), lambda: False)
    assert api.response("/healthz").status_code == 200
    assert api.problem("/readyz")["status"] == 503


def test_the_api_describes_itself(api: ApiClient) -> None:
    described = api.get("/openapi.json")
    assert {path for path in described["paths"] if path.startswith("/api/")} >= {
        "/api/v1/transactions",
        "/api/v1/transactions/{transaction_id}",
        "/api/v1/transactions/{transaction_id}/instances",
        "/api/v1/traces",
        "/api/v1/traces/{trace_id}",
        "/api/v1/logs",
        "/api/v1/services",
        "/api/v1/services/map",
        "/api/v1/attributes",
        "/api/v1/attributes/{key}/values",
        "/api/v1/metrics",
        "/api/v1/metrics/query",
        "/api/v1/compare",
    }
    assert api.response("/docs").status_code == 200
