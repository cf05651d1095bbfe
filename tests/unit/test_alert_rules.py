"""Files of alert rules: what they may say, and what is said of mistakes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.analysis.alerts.quantities import (
    format_duration,
    parse_amount,
    parse_condition,
    parse_duration,
)
from clew.analysis.alerts.rules import (
    AlertsFile,
    Labels,
    RuleKind,
    Rules,
    Select,
    json_schema,
    read,
)
from clew.analysis.documents import DocumentError

EVERY_KIND = """
zone: Europe/Berlin
defaults: {severity: ticket, receiver: team, keep_firing_for: 10m}
watch:
  - {select: {transactions: "*"}, metrics: [rate, error_rate, p50, p95, value_lost]}
regressions: {select: {services: "*"}, effect: 10%, severity: ticket}
budgets:
  - {select: {transaction: Checkout}, p95: 500ms, error_rate: 1%, calls: 20, payload: 300kB}
rules:
  - {name: burn, slo: Checkout, severity: page, min_events: 20}
  - name: payments slow
    select: {service: payments, operation: "POST /charges"}
    when: p95 > 800ms
    over: 5m
    for: 10m
    min_requests: 50
    only_while: business hours
  - {name: unusual, select: {transaction: "*"}, baseline: [p95, error_rate], sensitivity: high}
  - {name: worse, select: {service: payments}, regression: p95, effect: 20%}
  - {name: stock sync silent, select: {operation: "sync stock"}, absent: 2h}
  - {name: disk full, metric: system.filesystem.utilization, forecast: {reaches: 90%, within: 4d}}
  - {name: memory, metric: process.memory.usage, select: {service: web}, when: value > 2GB}
  - name: orders without payments
    ratio: {part: {select: {transaction: Pay}}, total: {select: {transaction: Checkout}}}
    when: value < 0.8
  - {name: business hours, sql: "SELECT toHour(now()) AS value", when: value >= 8}
  - {name: both, all: [payments slow, memory]}
  - {name: either, any: [payments slow, memory]}
  - {name: at night, not: business hours}
  - {name: dear, select: {operation: "GET /"}, budget: {p95: 800ms}}
route:
  - {match: {severity: page}, receiver: [oncall, team], repeat: 4h}
  - {receiver: team}
receivers:
  oncall: {webhook: {url: "https://alerts.shop.example/clew", secret_env: CLEW_SECRET_ONCALL}}
  team: {email: {to: team@shop.example, smtp: "smtp://mail.shop.example:587"}}
  chat: {slack: {url_env: CLEW_SECRET_SLACK}, template: "{headline}", per_minute: 5}
maintenance:
  - {match: {service: fulfilment}, every: "Sun 02:00-04:00", zone: Europe/Berlin, reason: backup}
"""


def test_every_kind_of_rule_is_read_and_written() -> None:
    file = read(EVERY_KIND.encode())
    assert {rule.kind for rule in file.rules} == set(RuleKind)
    slow = file.rules[1]
    assert (slow.over, slow.hold, slow.min_requests) == (300.0, 600.0, 50)
    assert slow.when is not None
    assert (slow.when.measure, slow.when.limit) == ("p95", 0.8)
    assert slow.named_rules == ("business hours",)
    assert file.regressions[0].effect == pytest.approx(0.1)
    assert file.receivers["chat"].kind == "slack"
    assert read(json.dumps(file.document).encode(), "json") == file


def test_a_label_with_a_name_that_cannot_be_is_refused() -> None:
    text = b"maintenance: [{every: '02:00-03:00', match: {labels: {a b: c}}}]"
    with pytest.raises(DocumentError, match="the name does not match"):
        read(text)


def test_an_empty_file_is_read() -> None:
    assert read(b"{}") == AlertsFile()


def test_editors_get_a_schema_with_every_field() -> None:
    schema = json_schema()
    assert {"rules", "route", "receivers", "maintenance"} <= schema["properties"].keys()
    assert {"not", "for"} <= schema["$defs"]["Rule"]["properties"].keys()


def test_the_api_takes_no_receivers() -> None:
    assert "receivers" not in Rules.model_fields


SELECTED = "select: {service: a}"


@pytest.mark.parametrize(
    ("rule", "detail"),
    [
        ("when: p95 > 1s", "needs a select or a metric"),
        (f"{SELECTED}, when: p96 > 1s", "'p96' is not a measure"),
        (f"{SELECTED}, when: p95 is 1s", "write a measure, a comparison and an amount"),
        (f"{SELECTED}, when: p95 > 1 year", "'year' is not a unit"),
        ("metric: m, when: p95 > 1s", "'p95' is not a measure: write one of value"),
        (SELECTED, "a rule has one of when, ratio"),
        (f"{SELECTED}, when: p95 > 1s, absent: 2h", "not when and absent"),
        (f"{SELECTED}, when: p95 > 1s, for: 10", "write a duration such as"),
        ("sql: SELECT 1", "write when: value > …"),
        ("sql: SELECT 1, when: p95 > 3", "'p95' is not known here"),
        ("baseline: p95", "baseline needs a select"),
        ("forecast: {reaches: 1, within: 4d}", "a forecast needs a metric"),
        ("all: [nobody]", "names 'nobody', which is no rule"),
        ("not: it", "rules that rest on each other: it → it"),
        ("select: {}, absent: 2h", "name one of transaction"),
        ("absent: 2h, select: {servic: a}", "service"),
        (f"{SELECTED}, absent: 2h, receiver: nobody", "'nobody' is not a receiver"),
    ],
)
def test_mistakes_in_rules_are_explained(rule: str, detail: str) -> None:
    with pytest.raises(DocumentError, match=detail):
        read(f"rules: [{{name: it, {rule}}}]".encode())


@pytest.mark.parametrize(
    ("receiver", "detail"),
    [
        ("{}", "a receiver has one of"),
        ("{webhook: {url: 'file:///etc/passwd'}}", "begins with https://"),
        ("{webhook: {url: 'https://user:word@x.example'}}", "begins with https://"),
        ("{webhook: {url: 'https://x.example', secret_env: HOME}}", "begins with CLEW_SECRET_"),
        ("{slack: {url_env: CLEW_SECRET_}}", "begins with CLEW_SECRET_"),
        ("{email: {to: 'a@b.example>', smtp: 'smtp://x'}}", "a mail address"),
        ("{email: {to: a@b.example, smtp: 'smtp://x', user: u}}", "both user and password_env"),
    ],
)
def test_mistakes_in_receivers_are_explained(receiver: str, detail: str) -> None:
    with pytest.raises(DocumentError, match=detail):
        read(f"receivers: {{it: {receiver}}}".encode())


def test_rules_that_rest_on_each_other_in_a_circle_are_refused() -> None:
    rules = "rules: [{name: a, not: b}, {name: b, any: [c]}, {name: c, all: [a]}]"
    with pytest.raises(DocumentError, match="a → b → c → a"):
        read(rules.encode())


def test_patterns_of_selections() -> None:
    labels = {"service": "payments", "operation": "POST /charges"}
    assert Select(service="pay*", operation="* /charges").matches(labels)
    assert not Select(service="pay").matches(labels)
    assert not Select(transaction="*").matches(labels)
    assert Labels().matches(labels)
    assert Labels(labels={"team": "a*"}).matches(labels | {"team": "abc"})
    assert not Labels(labels={"team": "a*"}).matches(labels)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("10m", 600), ("1h30m", 5400), ("4d", 345_600), ("250ms", 0.25), ("1.5h", 5400)],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@given(st.integers(0, 10**9))
def test_a_duration_is_read_as_it_is_written(milliseconds: int) -> None:
    seconds = milliseconds / 1000
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "number"),
    [("3", 3), ("5 %", 0.05), ("-2.5", -2.5), ("800ms", 0.8), ("2 h", 7200), ("300kB", 300_000)],
)
def test_amounts(text: str, number: float) -> None:
    assert parse_amount(text) == pytest.approx(number)


def test_a_condition_compares() -> None:
    slow = parse_condition("p95  > 800ms")
    assert slow.text == "p95 > 800ms"
    assert slow.is_upper
    assert [slow.holds(value) for value in (0.7, 0.8, 0.9)] == [False, False, True]
