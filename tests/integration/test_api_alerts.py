"""Alerts over the API: the list, one alert, silences, messages, rules, a test of a receiver."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from clew.analysis.alerts.notifications import Notification
from clew.analysis.alerts.outbox import Outbox, OutboxEntry
from clew.analysis.alerts.receivers import Receiver
from clew.analysis.alerts.records import AlertRecord, AlertRecords
from clew.analysis.alerts.rulebook import Rulebook
from clew.analysis.alerts.rules import json_schema
from clew.analysis.alerts.states import AlertState, State, Transition
from clew.analysis.alerts.verdicts import Verdict
from clew.api import create_app
from clew.storage import Reader, Store
from clew.storage.statements import Statements
from support.api_client import ApiClient
from support.keys import authenticator

NOW = float(int(time.time()))
PATH = "/api/v1/alerts"
KEYS = {
    "reader": {"read"},
    "ann": {"read", "operate"},
    "admin": {"admin", "read"},
    "analyst": {"admin", "database"},
}
FILE = """
defaults: {receiver: team}
rules:
  - {name: shop slow, select: {service: shop}, when: p95 > 500ms}
receivers:
  team: {webhook: {url: "https://team.example/hook?token=1", secret_env: CLEW_SECRET_TEAM}}
  on call/night: {slack: {url_env: CLEW_SECRET_SLACK}}
"""
RULES = b"""rules:
- name: payments fail
  select:
    service: payments
  when: error_rate > 5%
route:
- match:
    severity: page
  receiver: team
  repeat: 4h
"""


def record(rule: str, state: State, minutes: int, **labels: str) -> AlertRecord:
    """An alert of which each number is another, since so many minutes ago."""
    at = NOW - 60 * minutes
    episode = 0 if state is State.PENDING else 2
    verdict = Verdict(
        rule, {"environment": "prod", **labels}, at, True, headline=f"{rule}: bad", measure="p95",
        value=0.9, expected=0.5, lower=0.1, upper=0.4, requests=40, z=7.25, window=300.0,
        as_large=1, past=900, facts={"version": "1.9.0"}, examples=("0" * 31 + "1",),
        sql="SELECT {service:String} AS value", parameters={"service": "it's"},
    )  # fmt: skip
    severity = "page" if labels.get("service") == "payments" else "ticket"
    began = at - 60 if state is State.RECOVERING else at
    return AlertRecord(
        verdict,
        severity,
        AlertState(state, at, episode, began, at if state is State.RESOLVED else 0),
    )


PAYMENTS = record("payments slow", State.FIRING, 10, service="payments")
SHOP = record("shop slow", State.RECOVERING, 5, service="shop", transaction="Checkout")
OVER = record("shop slow", State.RESOLVED, 20, service="shop")
SOON = record("shop slow", State.PENDING, 1, service="mail")
# Of a rule in SQL: what looks like a parameter is none.
OWN_SQL = "SELECT '{a: b}' AS name, 1 AS value"
SOON = replace(SOON, verdict=replace(SOON.verdict, sql=OWN_SQL, parameters={}))


def entry(alert: AlertRecord, receiver: str, number: int) -> OutboxEntry:
    notification = Notification(
        alert.id, 2, Transition.FIRED, NOW + number, NOW, alert.rule, alert.severity,
        alert.labels, f"number {number}",
    )  # fmt: skip
    return OutboxEntry(receiver, notification, NOW - number // 2)


class Tried:
    """Takes test messages, but for a receiver that is away."""

    def __init__(self) -> None:
        self.tests: list[tuple[str, str, str]] = []

    def __call__(self, receiver: Receiver, name: str, author: str) -> str:
        self.tests.append((receiver.kind, name, author))
        return "it is away" if name == "team" else ""


class Alerts(ApiClient):
    """A client with a key. `tried`: the test messages."""

    def __init__(self, store: Store, rulebook: Rulebook) -> None:
        self.tried = Tried()
        reader = Reader(store)
        self.app = create_app(
            reader,
            reader.answers,
            authenticator=authenticator(**KEYS),
            rulebook=rulebook,
            send_test=self.tried,
        )

    def send(self, method: str, path: str, **request: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {request.pop('key', 'ann')}"}
        return super().send(method, path, headers=headers | request.pop("headers", {}), **request)

    def document(self, method: str, path: str, **request: Any) -> Any:
        response = self.send(method, path, **request)
        assert response.status_code == 200, response.text
        return response.json()

    def status(self, method: str, path: str, **request: Any) -> int:
        response = self.send(method, path, **request)
        if response.status_code >= 400:
            assert response.headers["content-type"] == "application/problem+json"
        return response.status_code


@pytest.fixture(scope="module")
def api(emptied: Callable[[], Store], tmp_path_factory: pytest.TempPathFactory) -> Alerts:
    store = emptied()
    statements = Statements(store)
    records = AlertRecords(statements)
    grouped = AlertRecord(SHOP.verdict, SHOP.severity, SHOP.state, because_of=PAYMENTS.id)
    records.put([PAYMENTS, grouped, OVER, SOON], 1)
    records.put_changes([record("payments slow", State.PENDING, 15, service="payments"), PAYMENTS])
    sent = entry(PAYMENTS, "team", 0).delivered()
    failed = entry(SHOP, "team", 1).failed("it is away", NOW + 10)
    Outbox(statements).put([sent, failed, *(entry(OVER, "oncall", n) for n in range(2, 7))])
    file = tmp_path_factory.mktemp("alerts") / "alerts.yaml"
    file.write_text(FILE)
    return Alerts(store, Rulebook(statements, store.shared, file))


def ids(document: Any) -> list[str]:
    return [alert["id"] for alert in document["alerts"]]


def test_what_fires_comes_first(api: Alerts) -> None:
    document = api.get(PATH)
    assert ids(document) == [PAYMENTS.id, SHOP.id, SOON.id, OVER.id]
    assert document["next_cursor"] is None
    alert = document["alerts"][0]
    assert alert["rule"] == "payments slow"
    assert (alert["state"], alert["known"], alert["severity"]) == ("firing", "known", "page")
    assert (alert["value"], alert["expected"], alert["unit"], alert["n"]) == (900, 500, "ms", 40)
    assert alert["labels"] == {"environment": "prod", "service": "payments"}
    assert alert["since"].startswith(time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(NOW - 600)))
    assert alert["sql"] == "SELECT CAST('it\\'s', 'String') AS value"
    assert document["alerts"][2]["sql"] == OWN_SQL
    groups = {alert["id"]: alert["group"] for alert in document["alerts"]}
    assert groups == {PAYMENTS.id: PAYMENTS.id, SHOP.id: PAYMENTS.id} | {
        id: id for id in (SOON.id, OVER.id)
    }
    # Of an open alert it is the episode that began then.
    assert document["alerts"][1]["since"].startswith(
        time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(NOW - 360))
    )


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"state": ["firing", "pending"]}, [PAYMENTS.id, SOON.id]),
        ({"severity": "page"}, [PAYMENTS.id]),
        ({"rule": "shop slow"}, [SHOP.id, SOON.id, OVER.id]),
        ({"service": "shop"}, [SHOP.id, OVER.id]),
        ({"transaction": "Checkout"}, [SHOP.id]),
        ({"environment": "test"}, []),
        ({"sort": "since"}, [SOON.id, SHOP.id, PAYMENTS.id, OVER.id]),
        ({"sort": "-since"}, [OVER.id, PAYMENTS.id, SHOP.id, SOON.id]),
        ({"sort": "severity", "limit": 1}, [PAYMENTS.id]),
    ],
)
def test_the_list_is_filtered_and_sorted(
    api: Alerts, parameters: dict[str, Any], expected: list[str]
) -> None:
    assert ids(api.get(PATH, **parameters)) == expected


def test_the_list_comes_in_pages(api: Alerts) -> None:
    pages = api.pages(PATH, "alerts", limit=3)
    assert [[alert["id"] for alert in page] for page in pages] == [
        [PAYMENTS.id, SHOP.id, SOON.id],
        [OVER.id],
    ]
    assert api.get(PATH, explain="true")["sql"]
    assert api.status("GET", PATH, params={"state": "loud"}) == 422
    assert api.status("GET", PATH, params={"sort": "size"}) == 400


def test_one_alert_is_explained(api: Alerts) -> None:
    view = api.get(f"{PATH}/{PAYMENTS.id}")
    assert view["alert"] == api.get(PATH)["alerts"][0]
    assert view["explanation"] == {
        "value": "900 ms",
        "expected": "500 ms",
        "usually": "100 ms to 400 ms",
        "requests": "40",
        "window": "5 min",
        "z": "7.2",
        "past": "1 of 900 windows were as far off",
        "version": "1.9.0",
    }
    assert (view["band"], view["z"], view["window_ms"]) == (
        {"lower": 100, "upper": 400},
        7.25,
        300_000,
    )
    assert ids({"alerts": view["members"]}) == [SHOP.id]
    assert [change["state"] for change in view["history"]] == ["firing", "pending"]
    assert [change["value"] for change in view["history"]] == [900, 900]
    assert [message["headline"] for message in view["notifications"]] == ["number 0"]
    assert api.status("GET", f"{PATH}/{'0' * 16}") == 404


def test_somebody_takes_care_of_an_alert_and_says_what_it_was_worth(api: Alerts) -> None:
    path = f"{PATH}/{PAYMENTS.id}"
    assert api.get(PATH)["alerts"][0]["acknowledged_by"] is None
    note = api.document("POST", f"{path}/acknowledge")
    assert (note["author"], note["kind"], note["episode"]) == ("ann", "acknowledged", 2)
    said = {"useful": False, "text": "a ‘quiet’ night"}
    assert api.document("POST", f"{path}/feedback", json=said)["kind"] == "noise"
    view = api.get(path)
    assert view["alert"]["acknowledged_by"] == "ann"
    assert {note["kind"]: note["text"] for note in view["notes"]} == {
        "acknowledged": "",
        "noise": said["text"],
    }
    assert api.status("POST", f"{PATH}/{'0' * 16}/acknowledge") == 404
    assert api.status("POST", f"{PATH}/{SOON.id}/acknowledge") == 409
    assert api.status("POST", f"{path}/feedback", json={"text": "useful"}) == 422


def test_silences_are_made_and_ended(api: Alerts) -> None:
    body = {"match": {"service": "pay*"}, "for": "2h", "reason": "we move it"}
    silence = api.document("POST", "/api/v1/silences", json=body)
    assert (silence["author"], silence["state"]) == ("ann", "active")
    assert silence["match"] == {"service": "pay*"}
    later = body | {"start": str(int(NOW + 3600)), "end": str(int(NOW + 7200))}
    del later["for"]
    upcoming = api.document("POST", "/api/v1/silences", json=later)
    listed = api.get("/api/v1/silences")["silences"]
    assert [each["id"] for each in listed] == [upcoming["id"], silence["id"]]
    assert [each["state"] for each in listed] == ["upcoming", "active"]
    silenced = {each["id"]: each["silenced_by"] for each in api.get(PATH)["alerts"]}
    assert silenced[PAYMENTS.id] == silence["id"]
    assert silenced[SHOP.id] is None
    for each in (silence, upcoming):
        ended = api.document("DELETE", f"/api/v1/silences/{each['id']}")
        assert ended["state"] == "ended"
    assert api.get("/api/v1/silences")["silences"] == []
    assert len(api.get("/api/v1/silences", ended="true")["silences"]) == 2
    assert api.status("DELETE", f"/api/v1/silences/{silence['id']}") == 404
    assert api.get(PATH)["alerts"][0]["silenced_by"] is None


@pytest.mark.parametrize(
    ("change", "mention"),
    [
        ({"match": {}}, "name at least one label"),
        ({"match": {"servis": "a"}}, "servis"),
        ({"for": "31d"}, "30 days at most"),
        ({"for": "2"}, "such as 90s"),
        ({"for": None}, "either end or for"),
        ({"end": "now"}, "either end or for"),
        ({"for": None, "end": "-1h"}, "ends before"),
        ({"reason": " "}, "reason"),
        ({"author": "somebody else"}, "author"),
    ],
)
def test_a_silence_that_cannot_be_is_refused(
    api: Alerts, change: dict[str, Any], mention: str
) -> None:
    body = {"match": {"service": "a"}, "for": "1h", "reason": "r"} | change
    response = api.send("POST", "/api/v1/silences", json=body)
    assert response.status_code == 422
    assert mention in response.text


def test_messages_are_listed_newest_first(api: Alerts) -> None:
    path = "/api/v1/notifications"
    pages = api.pages(path, "notifications", limit=3)
    messages = [message for page in pages for message in page]
    assert [len(page) for page in pages] == [3, 3, 1]
    times = [message["time"] for message in messages]
    assert times == sorted(times, reverse=True)
    assert len({message["key"] for message in messages}) == 7
    reverse = api.pages(path, "notifications", limit=3, sort="-time")
    assert [message["time"] for page in reverse for message in page] == sorted(times)
    (failed,) = api.get(path, receiver="team", state="waiting")["notifications"]
    assert (failed["error"], failed["attempts"]) == ("it is away", 1)
    assert (failed["alert"], failed["transition"], failed["episode"]) == (SHOP.id, "fired", 2)
    assert len(api.get(path, alert=OVER.id)["notifications"]) == 5
    assert api.get(path, explain="true")["sql"]


def test_a_receiver_is_tested(api: Alerts) -> None:
    result = api.document("POST", "/api/v1/receivers/on%20call%2Fnight/test")
    assert result == {
        "receiver": "on call/night", "kind": "slack", "delivered": True, "error": ""
    }  # fmt: skip
    result = api.document("POST", "/api/v1/receivers/team/test")
    assert (result["delivered"], result["error"]) == (False, "it is away")
    assert api.tried.tests == [("slack", "on call/night", "ann"), ("webhook", "team", "ann")]
    response = api.send("POST", "/api/v1/receivers/nobody/test")
    assert response.status_code == 404
    assert "on call/night, team" in response.json()["detail"]


def put(api: Alerts, body: bytes, key: str = "admin", **headers: str) -> httpx.Response:
    return api.send(
        "PUT",
        f"{PATH}/rules",
        content=body,
        key=key,
        headers={"content-type": "application/yaml"} | headers,
    )


def test_rules_come_over_the_api_beside_the_files(api: Alerts) -> None:
    before = api.send("GET", f"{PATH}/rules")
    document = before.json()
    assert document["revision"] == "0"
    assert [rule["name"] for rule in document["file"]["rules"]] == ["shop slow"]
    assert document["receivers"] == [
        {"name": "team", "kind": "webhook"},
        {"name": "on call/night", "kind": "slack"},
    ]
    assert "example" not in before.text
    changed = put(api, RULES, **{"if-match": before.headers["etag"]})
    assert changed.status_code == 200, changed.text
    assert put(api, RULES, **{"if-match": before.headers["etag"]}).status_code == 412
    document = api.get(f"{PATH}/rules")
    assert document == changed.json()
    assert [rule["name"] for rule in document["rules"]] == ["payments fail"]
    text = api.response(f"{PATH}/rules", format="yaml").content
    assert text.endswith(RULES)
    # What GET answers can be sent unchanged, in both forms.
    for body, form in ((text, "application/yaml"), (changed.content, "application/json")):
        again = put(api, body, **{"content-type": form})
        assert again.json()["revision"] == document["revision"]
    assert api.get(f"{PATH}/rules/schema") == json_schema()
    assert put(api, b"{}").json()["file"] == document["file"]


@pytest.mark.parametrize(
    ("body", "line", "mention"),
    [
        (RULES.replace(b"team", b"nobody"), None, "'nobody' is not a receiver"),
        (RULES.replace(b"when", b"wen"), 5, "did you mean when?"),
        (b"receivers: {mine: {webhook: {url: 'https://a.example'}}}", 1, "come from the file"),
    ],
)
def test_rules_that_cannot_be_used_are_refused(
    api: Alerts, body: bytes, line: int | None, mention: str
) -> None:
    problem = put(api, body)
    assert problem.status_code == 422
    assert mention in problem.json()["detail"]
    assert {error["line"] for error in problem.json()["errors"]} == {line}


def test_rules_in_sql_need_the_scope_database(api: Alerts) -> None:
    body = b'rules: [{name: odd, sql: "SELECT 1 AS value", when: value > 3}]'
    refused = put(api, body)
    assert refused.status_code == 403
    assert "`database`" in refused.json()["detail"]
    assert put(api, body, key="analyst").status_code == 200
    assert put(api, b"{}").status_code == 200


WRITES = {
    ("POST", f"{PATH}/{PAYMENTS.id}/acknowledge"): "operate",
    ("POST", f"{PATH}/{PAYMENTS.id}/feedback"): "operate",
    ("POST", "/api/v1/silences"): "operate",
    ("DELETE", "/api/v1/silences/0"): "operate",
    ("POST", "/api/v1/receivers/team/test"): "operate",
    ("PUT", f"{PATH}/rules"): "admin",
}


def test_a_change_needs_its_scope(api: Alerts) -> None:
    for (method, path), scope in WRITES.items():
        for key, scopes in KEYS.items():
            if scope not in scopes:
                response = api.send(method, path, key=key)
                assert response.status_code == 403, (method, path, key)
                assert f"`{scope}`" in response.json()["detail"]


def test_without_a_rulebook_the_rules_are_read_from_the_database(
    emptied: Callable[[], Store], tmp_path: Path
) -> None:
    store = emptied()
    file = tmp_path / "alerts.yaml"
    file.write_text(FILE)
    Rulebook(Statements(store), store.shared, file)
    api = ApiClient(store)
    assert [rule["name"] for rule in api.get(f"{PATH}/rules")["file"]["rules"]] == ["shop slow"]
    assert api.send("POST", "/api/v1/receivers/team/test").status_code == 503
