"""Events over the API: what is posted, and what telemetry says of deployments and feature flags."""

from __future__ import annotations

import json
import time
from typing import Any

import httpx
import pytest

from clew.analysis.events import events_near
from clew.analysis.watching.deployments import read_deployments
from clew.api import create_app
from clew.storage import Reader, Store
from clew.storage.statements import Statements
from support.api_client import ApiClient
from support.keys import authenticator

NOW = int(time.time()) // 3600 * 3600
PATH = "/api/v1/events"
KEYS = {"ci": {"events"}, "reader": {"read"}, "sender": {"ingest"}, "admin": {"admin"}}


class Client(ApiClient):
    """A client with a key."""

    def __init__(self, store: Store) -> None:
        reader = Reader(store)
        self.app = create_app(reader, reader.answers, authenticator=authenticator(**KEYS))

    def send(self, method: str, path: str, key: str = "reader", **request: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {key}"}
        return super().send(method, path, headers=headers, **request)

    def post(self, body: Any, key: str = "ci") -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.send("POST", PATH, key, content=content)

    def names(self, **parameters: Any) -> list[str]:
        window = {"start": NOW - 86_400, "end": NOW + 86_400} | parameters
        return [event["name"] for event in self.get(PATH, **window)["events"]]


@pytest.fixture
def api(store: Store) -> Client:
    return Client(store)


def test_events_are_posted_and_listed(api: Client) -> None:
    deployment = {
        "id": "run 17", "time": NOW - 600, "type": "deployment", "service": "payments",
        "version": "1.9.0", "environment": "prod", "attributes": {"commit": "abc", "attempt": 2},
    }  # fmt: skip
    campaign = {"time": NOW - 7200, "end": NOW - 60, "type": "campaign", "name": "<b>Black"}
    response = api.post([deployment, campaign, {"type": "incident", "name": "rain"}])
    assert response.status_code == 200, response.text
    ids = response.json()["ids"]
    assert ids[0] == "run 17"
    assert len(set(ids)) == 3
    window = {"start": NOW - 700, "end": NOW}
    answer = api.get(PATH, **window)
    assert [event["name"] for event in answer["events"]] == ["payments 1.9.0", "<b>Black"]
    first, second = answer["events"]
    assert first == {
        "id": "run 17", "time": first["time"], "end": None, "type": "deployment",
        "name": "payments 1.9.0", "service": "payments", "version": "1.9.0", "environment": "prod",
        "attributes": {"commit": "abc", "attempt": "2"}, "source": "posted", "author": "ci",
    }  # fmt: skip
    assert second["end"] > second["time"]
    assert api.names(type="incident") == ["rain"]
    assert api.names(service="orders") == ["rain", "<b>Black"]  # what concerns all services
    assert api.names(environment="test") == ["rain", "<b>Black"]
    assert api.post(deployment | {"version": "1.9.1"}).json() == {"ids": ["run 17"]}
    pages = api.pages(PATH, "events", start=NOW - 86_400, end=NOW + 86_400, limit=1)
    assert [event["name"] for page in pages for event in page] == [
        "rain", "payments 1.9.1", "<b>Black",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({}, "type is missing"),
        (b"{", "column"),
        ([], "at least 1"),
        ({"type": "Deployment", "name": "x"}, "small letters"),
        ({"type": "deployment"}, "name the event or its service"),
        ({"type": "x", "name": "x", "time": "yesterday"}, r"\[0\].time='yesterday'"),
        ([{"type": "x", "name": "x", "end": 1}], r"\[0\].end: the event ends before it begins"),
        ({"type": "x", "name": "x", "sevrice": "y"}, "did you mean service"),
        ({"type": "x", "name": "a\n"}, "control characters"),
        ({"type": "x", "name": "x" * 201}, "at most 200"),
        ({"type": "x", "name": "x", "attributes": {"a": {"b": 1}}}, "write a text"),
        ([{"type": "x", "name": "x"}] * 1001, "at most 1000"),
        (b" " * (1 << 21), "more than 1048576 bytes"),
    ],
)
def test_what_is_no_event_is_refused(api: Client, body: Any, error: str) -> None:
    response = api.post(body)
    assert response.status_code in (400, 413, 422)
    assert httpx.codes.is_client_error(response.status_code)
    assert_matches(response.json()["detail"], error)
    assert api.names() == []


def assert_matches(text: str, pattern: str) -> None:
    with pytest.raises(ValueError, match=pattern):
        raise ValueError(text)


def test_a_key_of_the_scope_events_posts_events_and_nothing_else(api: Client) -> None:
    event = {"type": "holiday", "name": "new year"}
    for key in ("reader", "sender", "admin"):
        assert api.post(event, key).status_code == 403
    assert api.post(event).status_code == 200
    for path in (PATH, "/api/v1/transactions", "/api/v1/setup", "/docs", "/openapi.json"):
        assert api.send("GET", path, "ci").status_code == 403, path
    assert api.send("PUT", "/api/v1/definitions", "ci", content=b"{}").status_code == 403


def insert_flags(store: Store, condition: str, service: str = "shop") -> None:
    """Two hours of evaluations of a flag, one each 6 s; `on` where the condition on their number holds."""
    with store.client() as client:
        client.command(
            "INSERT INTO otel.otel_logs (Timestamp, ServiceName, EventName, LogAttributes) "
            f"SELECT toDateTime64({NOW - 7200} + 6 * number, 9), '{service}', 'feature_flag.evaluation', "
            f"map('feature_flag.key', 'cart', 'feature_flag.result.variant', if({condition}, 'on', 'off')) "
            "FROM numbers(1200)"
        )


def test_a_flag_that_is_switched_is_an_event_and_one_that_varies_is_none(
    api: Client, store: Store
) -> None:
    insert_flags(store, "number BETWEEN 600 AND 700 OR number % 100 = 3")
    insert_flags(store, "cityHash64(number) % 3 = 0", "experiment")
    events = api.get(PATH, start=NOW - 7200, end=NOW)["events"]
    assert [(event["name"], event["service"], event["source"]) for event in events] == [
        ("cart: off", "shop", "log"),
        ("cart: on", "shop", "log"),
    ]
    on = events[1]
    assert on["type"] == "feature_flag"
    assert on["attributes"]["feature_flag.result.variant"] == "on"
    assert api.get(PATH, start=NOW - 1800, end=NOW)["events"] == []


def insert_version(store: Store, version: str, minutes: int) -> None:
    with store.client() as client:
        client.command(
            "INSERT INTO otel.otel_traces (Timestamp, TraceId, SpanId, ServiceName, SpanName, ResourceAttributes) "
            f"SELECT toDateTime64({NOW - 60 * minutes}, 9), 't{version}', 's', 'shop', 'op', "
            f"map('service.version', '{version}', 'deployment.environment.name', 'prod')"
        )


def test_deployments_are_those_that_were_posted_logged_and_seen(api: Client, store: Store) -> None:
    insert_version(store, "1", 300)
    insert_version(store, "2", 200)
    insert_version(store, "3", 100)
    with store.client() as client:
        client.command(
            "INSERT INTO otel.otel_logs (Timestamp, ServiceName, LogAttributes, ResourceAttributes) "
            f"SELECT toDateTime64({NOW - 60}, 9), 'ci', map('deployment.name', 'roll out', "
            "'deployment.status', 'failed'), map('service.version', '4')"
        )
    posts = [
        {"type": "deployment", "service": "shop", "version": "2", "time": NOW - 60 * 205},
        {"type": "deployment", "service": "shop", "version": "2", "time": NOW - 60 * 50},
        {"type": "holiday", "name": "new year", "time": NOW - 60 * 60},
    ]
    assert api.post(posts).status_code == 200
    assert api.names() == ["roll out", "shop 2", "new year", "shop 3", "shop 2"]
    statements = Statements(store)
    near = events_near(statements.rows, NOW - 60 * 45, NOW - 60 * 40, ["shop"], "prod")
    assert [event["name"] for event in near] == ["shop 2", "new year", "shop 3"]
    deployments = read_deployments(statements, NOW - 28 * 86_400, NOW)
    assert [(one.version, one.environment, (NOW - one.at) / 60) for one in deployments] == [
        ("2", "prod", 205),
        ("3", "prod", 100),
        ("2", "prod", 50),
    ]
