"""Definitions of business transactions: what is read, and what is reported about the rest."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml
from pydantic import ValidationError

from clew.analysis.documents import DocumentError, Form, parsing
from clew.analysis.transactions.definitions import (
    MAX_DEFINITIONS,
    MAX_STEPS,
    Definition,
    Definitions,
    Match,
    Slo,
    TransactionStep,
    id_of,
    json_schema,
    read,
    read_file,
    write,
)
from clew.analysis.transactions.rules import rules_document
from clew.analysis.transactions.sources import AttributeSource

CHECKOUT = """
transactions:
  - name: Checkout
    match: {service: storefront, operation: "POST /checkout"}
    key: order.id
    value: order.total
    user: [user.id, {attr: url.path, pattern: "/users/{}"}]
    steps: [cart, {name: pay, match: {service: payments}}, {name: ship, match: {service: fulfilment}}]
    slo: {latency_ms: 500, objective: 0.995}
"""
PARSED = Definition(
    id="checkout",
    name="Checkout",
    match=Match(service="storefront", operation="POST /checkout"),
    key=(AttributeSource(attr="order.id"),),
    value=(AttributeSource(attr="order.total"),),
    user=(
        AttributeSource(attr="user.id"),
        AttributeSource(attr="url.path", pattern="/users/{}"),
    ),
    steps=(
        TransactionStep(name="cart"),
        TransactionStep(name="pay", match=Match(service="payments")),
        TransactionStep(name="ship", match=Match(service="fulfilment")),
    ),
    slo=Slo(objective=0.995, latency_ms=500),
)
# As rows of clew_definitions have it that earlier versions of clew wrote.
STORED = (
    '{"id": "checkout", "name": "Checkout", "match": {"service": "storefront", '
    '"operation": "POST /checkout"}, "key": "order.id", "value": "order.total", '
    '"user": ["user.id", {"attr": "url.path", "pattern": "/users/{}"}], '
    '"steps": ["cart", {"name": "pay", "match": {"service": "payments"}}, '
    '{"name": "ship", "match": {"service": "fulfilment"}}], '
    '"slo": {"latency_ms": 500, "objective": 0.995}}'
)


@pytest.fixture(params=["CSafeLoader", "SafeLoader"])
def either_parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """PyYAML with libyaml and without."""
    monkeypatch.setattr(parsing, "_LOADER", getattr(yaml, request.param))


def _messages(text: str, form: Form = "yaml") -> list[str]:
    with pytest.raises(DocumentError) as error:
        read(text.encode(), form, "t.yaml")
    return str(error.value).splitlines()


@pytest.mark.usefixtures("either_parser")
def test_the_example_of_the_documentation_is_read() -> None:
    assert read(CHECKOUT.encode()) == (PARSED,)


def test_json_and_yaml_are_read_as_the_same() -> None:
    document = {"transactions": [PARSED.document]}
    assert read(json.dumps(document).encode(), "json") == (PARSED,)
    assert read(write([PARSED]).encode()) == (PARSED,)


def test_a_stored_definition_is_read_and_written_as_before() -> None:
    (definition,) = read(f'{{"transactions": [{STORED}]}}'.encode(), "json")
    assert definition == PARSED
    assert definition.document == json.loads(STORED)


def test_unusual_texts_come_back_unchanged() -> None:
    for text in (
        "on",
        "1.0",
        "~",
        "a: b",
        "'",
        '"',
        "\\",
        "é\n",
        "\x00",
        "- x",
        "{}",
        "#",
        " x",
        "😀",
    ):
        definition = Definition(
            name="x",
            match=Match(
                service=f"s{text}", operation=text if text.strip() else None, attr={text: text}
            ),
            key=(AttributeSource(attr=text, pattern=f"{{}}{text}" if text != "{}" else None),),
        )
        assert read(write([definition]).encode()) == (definition,)
        document = {"transactions": [definition.document]}
        assert read(json.dumps(document).encode(), "json") == (definition,)


def test_plain_scalars_stay_texts() -> None:
    text = "transactions: [{name: 12, match: {operation: on, attr: {v: 1.0, n: 010, b: true}}}]"
    (definition,) = read(text.encode())
    assert definition.name == "12"
    assert definition.match == Match(operation="on", attr={"v": "1.0", "n": "010", "b": "true"})


@pytest.mark.usefixtures("either_parser")
def test_every_problem_is_reported_with_line_and_field() -> None:
    text = """\
transactions:
- nam: x
  match: {}
- name: Y
  match: {servce: x}
  slo:
    objective: 2
  steps: [a, a, {match: {service: b}}]
  key: {attr: x, pattern: y}
- name: y!
  id: '0123456789abcdef'
  match: {service: [a], attr: {}}
  value: {pattern: 'x{}{}'}
  user: {attr: [x], pattern: '{}'}
  steps: x
  slo: {objective: '0.5', latency_ms: -1}
- name: "bell \\a"
  id: a/b
  match:
    attr:
      k: {}
      "": v
  key: []
  steps: [{name: s, match: {}}]
  slo: {latency_ms: 5}
- name: Y
  match: {service: x}
- text
"""
    messages = [message.removeprefix("t.yaml:") for message in _messages(text)]
    one = "transactions"
    everything = "matches every span: name a service, an operation or an attr"
    share = "write a number above 0 and below 1"
    assert messages == [
        f"2: {one}[0]: name is missing: The transaction's name.",
        f"2: {one}[0].nam: unknown field; did you mean name?",
        f"3: {one}[0].match: {everything}",
        f"5: {one}[1].match.servce: unknown field; did you mean service?",
        f"7: {one}[1].slo.objective: {share}",
        f"8: {one}[1].steps[1]: item 1 of this list has the name 'a' already",
        f"8: {one}[1].steps[2]: name is missing: The step's name. Without a match, it is an operation's name.",
        f"9: {one}[1].key.pattern: write {{}} once, in the place of the value",
        f"11: {one}[2].id: 16 hexadecimal digits are the id of an automatic transaction",
        f"12: {one}[2].match.attr: 0 items: at least 1",
        f"12: {one}[2].match.service: write a text",
        f"13: {one}[2].value: attr is missing: The attribute's name.",
        f"13: {one}[2].value.pattern: write {{}} once, in the place of the value",
        f"14: {one}[2].user.attr: write a text",
        f"15: {one}[2].steps: write a list",
        f"16: {one}[2].slo.latency_ms: write a number above 0 and at most 2592000000",
        f"16: {one}[2].slo.objective: {share}",
        f"17: {one}[3].name: write a name without control characters",
        f"18: {one}[3].id: write letters, digits, - and _, at most 64",
        f"21: {one}[3].match.attr.k: write a text",
        f"22: {one}[3].match.attr.: the name has 0 characters: at least 1",
        f"23: {one}[3].key: 0 items: at least 1",
        f"24: {one}[3].steps[0].match: {everything}",
        f"25: {one}[3].slo: objective is missing: "
        "The share of occurrences that must be good, such as 0.995.",
        f"26: {one}[4]: item 2 of this list has the name 'Y' already",
        f"28: {one}[5]: write a mapping with name, id, match, key, value, user, transaction, steps, slo and kpi",
    ]


def test_a_condition_without_a_value_is_an_error() -> None:
    text = "transactions: [{name: x, match: {service: x, attr: {tenant: }}}]"
    assert _messages(text) == ["t.yaml:1: transactions[0].match.attr.tenant: write a text"]


@pytest.mark.parametrize(
    ("kpi", "problem"),
    [
        ("{name: a}", "write either metric or sum"),
        ("{name: a, metric: m, sum: s}", "write either metric or sum"),
        ("{name: a, metric: m, operation: o}", "a metric has no operation"),
        ("{name: a, sum: s, aggregation: avg}", "the aggregation is of a metric"),
        ("{name: a, sum: s}", "kpi 'a': name the service whose spans have 's'"),
        ("{name: a, metric: m, aggregation: median}", "write avg or sum"),
    ],
)
def test_a_problem_of_a_kpi_is_explained(kpi: str, problem: str) -> None:
    text = f"transactions: [{{name: X, match: {{operation: o}}, kpi: [{kpi}]}}]"
    with pytest.raises(DocumentError, match=re.escape(problem)):
        read(text.encode())


def test_no_transactions_are_definitions_too() -> None:
    assert read(b"transactions: []") == ()


def test_sizes_are_limited() -> None:
    def define(**fields: Any) -> dict[str, Any]:
        return {"name": "x", "match": {"service": "x"}} | fields

    for fields in (
        {"name": "x" * 201},
        {"name": 10**200},
        {"id": "x" * 65},
        {"match": {"service": "x" * 1001}},
        {"match": {"attr": {str(number): "x" for number in range(21)}}},
        {"key": {"attr": "x", "pattern": "x" * 1000 + "{}"}},
        {"key": ["x"] * 11},
        {"steps": [f"s{number}" for number in range(MAX_STEPS + 1)]},
    ):
        (message,) = _messages(json.dumps({"transactions": [define(**fields)]}), "json")
        assert "at most" in message
    many = [define(name=f"n{number}") for number in range(MAX_DEFINITIONS + 1)]
    (message,) = _messages(json.dumps({"transactions": many}), "json")
    assert "transactions: 201 items: at most 200" in message
    assert len(read(json.dumps({"transactions": many[1:]}).encode(), "json")) == MAX_DEFINITIONS


@pytest.mark.parametrize(
    ("name", "id"),
    [
        ("Checkout", "checkout"),
        ("Pay / order (EU)", "pay-order-eu"),
        ("Café", "cafe"),
        ("Оплата", "transaction-1d0f59fc32"),
        ("Оплата 2", "2-51588a6a05"),
        ("!!!", "transaction-e84c538e7f"),
        ("0123456789ABCDEF", "0123456789abcdef-2125b2c332"),
        ("x" * 65, "x" * 53 + "-"),
    ],
)
def test_an_id_is_made_from_the_name(name: str, id: str) -> None:
    assert id_of(name).startswith(id)
    assert len(id_of(name)) <= 64
    (definition,) = read(
        json.dumps({"transactions": [{"name": name, "match": {"service": "x"}}]}).encode(), "json"
    )
    assert definition.id == id_of(name)


def test_two_names_with_the_same_id_need_an_id() -> None:
    text = "transactions: [{name: a b, match: {service: x}}, {name: a-b, %s match: {service: x}}]"
    assert _messages(text % "") == [
        "t.yaml:1: transactions[1]: item 1 of this list has the id 'a-b' already"
    ]
    ids = [definition.id for definition in read((text % "id: other,").encode())]
    assert ids == ["a-b", "other"]


def test_a_file_is_yaml_unless_its_name_says_json(tmp_path: Path) -> None:
    (tmp_path / "d.json").write_text(json.dumps({"transactions": [PARSED.document]}))
    (tmp_path / "d.yaml").write_text(CHECKOUT)
    assert read_file(tmp_path / "d.json") == read_file(tmp_path / "d.yaml") == (PARSED,)


REQUESTS = """
transactions:
  - name: Checkout
    match: {service: storefront, operation: "POST /checkout"}
    key: [{header: X-Order-Id}, {json: order.id, at: {service: orders}}, order.id, {query: order}]
    value: {json: total, at: {service: orders}}
    user: {path: "/users/{}"}
    transaction: {query: flow}
  - name: Logged
    match: {service: storefront}
    key: order.id
  - name: Shipment
    match: {attr: {messaging.system: kafka}}
    key: {path: "/shipments/{}", at: {operation: "POST /shipments/{id}"}}
"""


def test_what_is_taken_from_requests_is_in_the_rules_of_agents() -> None:
    definitions = read(REQUESTS.encode())
    assert read(write(definitions).encode()) == definitions
    empty = {"service": "", "method": "", "route": ""}
    checkout = {"service": "storefront", "method": "POST", "route": "/checkout"}
    assert rules_document(definitions)["rules"] == [
        {"transaction": "Checkout", "begins": True}
        | checkout
        | {
            "take": [
                {"as": "business.transaction", "query": "flow"},
                {"as": "business.key", "header": "X-Order-Id"},
                {"as": "business.key", "query": "order"},
                {"as": "user.id", "path": "/users/{}"},
            ]
        },
        {"transaction": "Checkout", "begins": False}
        | empty
        | {"service": "orders"}
        | {
            "take": [
                {"as": "business.key", "json": "order.id"},
                {"as": "business.value", "json": "total"},
            ]
        },
        {"transaction": "Shipment", "begins": False}
        | empty
        | {"method": "POST", "route": "/shipments/{id}"}
        | {"take": [{"as": "business.key", "path": "/shipments/{}"}]},
    ]


def test_stored_rows_have_what_agents_take_in_attributes() -> None:
    checkout = read(REQUESTS.encode())[0]
    assert [source.attr for source in checkout.key_attributes] == ["business.key", "order.id"]
    assert [source.attr for source in checkout.value_attributes] == ["business.value"]
    assert [source.attr for source in checkout.user_attributes] == ["user.id"]


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ("key: {header: X, path: '/{}'}", "key: write one of header, path, query and json"),
        ("key: {at: {service: x}}", "key: write one of header, path, query and json"),
        ("key: {header: 'X Y'}", "key.header: write the name of a header, such as X-Order-Id"),
        ("key: {path: /orders}", "key.path: write {} once, in the place of the value"),
        ("key: {jsn: x}", "key: attr is missing: The attribute's name."),
        (
            "key: {json: x, attr: y}",
            "key.attr: this field does not go with the others here",
        ),
        ("key: {json: x, pattern: y}", "key.pattern: this field does not go with the others here"),
        ("key: {json: x, at: {}}", "key.at: matches every request: name a service or an operation"),
        (
            "key: {json: x, at: {operation: pay}}",
            "key.at.operation: write a method and a route, such as POST /orders/{order_id}",
        ),
        ("transaction: flow", "transaction: write a mapping with header, path, query, json and at"),
    ],
)
def test_a_problem_of_a_request_is_explained(fields: str, problem: str) -> None:
    text = f"transactions: [{{name: x, match: {{service: x}}, {fields}}}]"
    assert f"t.yaml:1: transactions[0].{problem}" in _messages(text)


@pytest.mark.parametrize("value", ["flow", False, 1.5, [False]])
def test_a_wrong_item_is_one_problem_also_without_a_list(value: Any) -> None:
    definition = {"name": "x", "match": {"service": "x"}, "transaction": value}
    (message,) = _messages(json.dumps({"transactions": [definition]}), "json")
    assert "write a mapping with header, path, query, json and at" in message


@pytest.mark.parametrize("match", ["operation: work", "attr: {tenant: a}"])
def test_requests_that_nobody_can_tell_are_refused(match: str) -> None:
    text = f"transactions: [{{name: x, match: {{service: x, {match}}}, user: {{header: U}}%s}}]"
    (message,) = _messages(text % "")
    assert "no request shows whether it matches" in message
    assert "write header: U with at: {service: …, operation: …}" in message


VALID: list[Any] = [
    {"name": "x", "match": {"service": "x"}},
    PARSED.document,
    {
        "name": "x",
        "match": {"service": "x"},
        "key": ["a", {"header": "X"}, {"path": "/{}", "at": {"operation": "GET /{id}"}}],
        "value": {"json": "a.b"},
        "user": {"query": "u", "at": {"service": "y"}},
        "transaction": [{"header": "T"}],
    },
    {"name": 5, "match": {"attr": {"status": 500, "ok": True}}, "key": ["a", {"attr": "b"}]},
]
INVALID: list[Any] = [
    {"match": {"service": "x"}},
    {"name": "x", "match": {}},
    {"name": "x", "match": {"servise": "x"}},
    {"name": " ", "match": {"service": "x"}},
    {"name": "x", "id": "0123456789abcdef", "match": {"service": "x"}},
    {"name": "x", "match": {"service": "x"}, "key": []},
    {"name": "x", "match": {"service": "x"}, "key": {"attr": "x", "pattern": "y"}},
    {"name": "x", "match": {"service": "x"}, "slo": {"objective": 1}},
    {"name": "x", "match": {"service": "x"}, "slo": {"objective": "0.5"}},
    {"name": "x", "match": {"attr": {}}},
]


def test_the_schema_for_editors_accepts_what_is_read_and_refuses_what_is_not() -> None:
    schema = jsonschema_rs.validator_for(json_schema())
    for definitions, valid in ((VALID, True), (INVALID, False)):
        for definition in definitions:
            document = {"transactions": [definition]}
            assert schema.is_valid(document) is valid, definition
            if valid:
                Definitions.model_validate(document)
            else:
                with pytest.raises(ValidationError):
                    Definitions.model_validate(document)
