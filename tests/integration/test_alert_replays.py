"""What rules would have done: two weeks of a service and one bad hour, over the API."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from clew.analysis.traces.settling import settler_statements
from clew.analysis.watching.series import WatchedSeries
from clew.api import create_app
from clew.storage import Reader, Store
from support.api_client import ApiClient
from support.keys import authenticator

BAD, BAD_MINUTES = 3000, 30  # minutes before now, when it began and for how long
# 10 requests a minute; in the bad minutes half of them fail and take ten times as long. `quiet`
# came until a day ago.
MINUTES = """
INSERT INTO otel.clew_operations_1m
    (Minute, Environment, ServiceVersion, ServiceName, SpanName, SpanKind, IsRoot, Count, Errors, Sketch)
SELECT
    toStartOfMinute(now()) - 60 * intDiv(number, 10) AS Minute, 'prod', '1', service, 'GET /', 'Server', true,
    count(), countIf(is_bad AND number % 2), quantilesDDState(0.01, 0.5, 0.9, 0.95, 0.99)(
        toUInt64(1e8 * if(is_bad, 10, 1) * (1 + number % 10 / 10)))
FROM
(
    SELECT number, arrayJoin(['shop', 'quiet']) AS service,
        service = 'shop' AND intDiv(number, 10) > 3000 - 30 AND intDiv(number, 10) <= 3000 AS is_bad
    FROM numbers(15 * 1440 * 10)
)
WHERE service = 'shop' OR intDiv(number, 10) > 1440
GROUP BY Minute, service
"""
RULES: dict[str, Any] = {
    "rules": [
        {"name": "slow", "select": {"service": "shop"}, "when": "p95 > 500ms", "over": "5m"},
        {"name": "fails", "select": {"service": "*"}, "when": "error_rate > 10%", "for": "5m"},
        {"name": "silent", "select": {"service": "*"}, "absent": "2h"},
        {"name": "unusual", "select": {"service": "shop"}, "baseline": ["error_rate", "p95"]},
        {"name": "slower", "select": {"service": "shop"}, "regression": ["p50"]},
        {"name": "both", "all": ["slow", "fails"]},
        {"name": "calm", "not": "both"},
        {"name": "only", "select": {"service": "shop"}, "when": "rate > 0.1", "only_while": "both"},
        {"name": "part", "ratio": {"part": {"select": {"service": "shop"}, "measure": "errors"},
                                   "total": {"select": {"service": "shop"}}}, "when": "value > 0.1"},
        {"name": "nobody", "select": {"service": "nobody"}, "when": "p95 > 1s"},
        {"name": "few", "select": {"service": "shop"}, "when": "p95 > 1ms", "min_requests": 1000},
        {"name": "burns", "slo": "Checkout"},
        {"name": "metric", "metric": "disk", "when": "value > 3"},
        {"name": "soon", "metric": "disk", "forecast": {"reaches": 3, "within": "1d"}},
        {"name": "own", "sql": "SELECT 1 AS value", "when": "value > 0"},
    ]
}  # fmt: skip
PATH = "/api/v1/alerts/rules/test"


class Analyst(ApiClient):
    """A client that may replace rules and run statements."""

    def __init__(self, store: Store) -> None:
        reader = Reader(store)
        keys = authenticator(analyst={"admin", "database"}, admin={"admin"})
        self.app = create_app(reader, reader.answers, authenticator=keys)

    def send(self, method: str, path: str, **request: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {request.pop('key', 'analyst')}"}
        headers["content-type"] = "application/json"
        return super().send(method, path, headers=headers, **request)


@pytest.fixture(scope="module")
def api(emptied: Callable[[], Store]) -> ApiClient:
    store = emptied()
    with store.client() as client:
        client.command(MINUTES)
        now = float(str(client.command("SELECT toUnixTimestamp(now())")))
    WatchedSeries(settler_statements(store)).fill_hours(now - 672 * 3600, now, 1)
    return Analyst(store)


def rehearse(api: ApiClient, document: Any) -> dict[str, dict[str, Any]]:
    answer = api.send("POST", PATH, content=json.dumps(document).encode())
    assert answer.status_code == 200, answer.text
    return {rule["rule"]: rule for rule in answer.json()["rules"]}


def test_rules_say_what_they_would_have_done(api: ApiClient) -> None:
    rules = rehearse(api, RULES)
    assert list(rules) == [rule["name"] for rule in RULES["rules"]]
    for name in ("slow", "fails", "both", "part", "only"):
        assert rules[name]["episodes"], (name, rules[name])
        (episode,) = rules[name]["episodes"]
        assert rules[name]["count"] == 1, name
        assert rules[name]["per_week"] == pytest.approx(0.5, abs=0.01)
        assert episode["until"] is not None
    assert rules["slow"]["episodes"][0]["value"] == pytest.approx(1900, rel=0.03)
    assert rules["slow"]["episodes"][0]["unit"] == "ms"
    assert rules["fails"]["episodes"][0]["value"] == pytest.approx(0.5)
    assert rules["fails"]["series"] == 2
    assert {episode["measure"] for episode in rules["unusual"]["episodes"]} == {
        "error_rate", "slow_rate",
    }  # fmt: skip
    (silent,) = rules["silent"]["episodes"]
    assert silent["labels"]["service"] == "quiet"
    assert silent["until"] is None
    assert rules["calm"]["count"] == 2
    assert rules["slower"]["series"] == 1
    assert rules["slower"]["unjudged"] == []
    assert [one["known"] for one in rules["few"]["unjudged"]] == ["no_data"]
    for name in ("nobody", "burns", "metric", "soon", "own"):
        assert rules[name]["none_because"], name
    assert rules["slow"]["none_because"] is None


def test_standing_rules_are_replayed_if_the_document_has_them(api: ApiClient) -> None:
    rules = rehearse(api, {"watch": [{"select": {"transaction": "*"}, "metrics": ["error_rate"]}]})
    assert list(rules) == ["clew: unusual"]
    assert rules["clew: unusual"]["count"] == 1
    assert rehearse(api, {}) == {}


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b'{"rules": [{"name": "x"}]}'])
def test_what_is_no_document_is_refused(api: ApiClient, body: bytes) -> None:
    assert api.send("POST", PATH, content=body).status_code == 422


def test_statements_need_their_scope(api: ApiClient) -> None:
    body = json.dumps(RULES).encode()
    assert api.send("POST", PATH, content=body, key="admin").status_code == 403
