"""Definitions of business transactions: what is read, and what is said of what cannot be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from clew.analysis.transactions import documents
from clew.analysis.transactions.definitions import (
    MAX_DEFINITIONS,
    MAX_STEPS,
    Definition,
    DefinitionError,
    Match,
    Slo,
    Source,
    Step,
    id_of,
    read,
    read_file,
    write,
)

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
    match=Match("storefront", "POST /checkout"),
    key=(Source("order.id"),),
    value=(Source("order.total"),),
    user=(Source("user.id"), Source("url.path", "/users/{}")),
    steps=(
        Step("cart"),
        Step("pay", Match("payments")),
        Step("ship", Match("fulfilment")),
    ),
    slo=Slo(0.995, 500),
)


@pytest.fixture(params=["CSafeLoader", "SafeLoader"])
def either_parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """PyYAML with libyaml, and without."""
    monkeypatch.setattr(documents, "_LOADER", getattr(yaml, request.param))


def _faults(text: str | bytes, form: str = "yaml") -> list[str]:
    with pytest.raises(DefinitionError) as error:
        read(text.encode() if isinstance(text, str) else text, form, "t.yaml")
    return str(error.value).splitlines()


@pytest.mark.usefixtures("either_parser")
def test_the_form_in_the_documentation_is_read() -> None:
    assert read(CHECKOUT.encode()) == (PARSED,)


def test_json_is_read_likewise_and_what_is_written_is_read_as_the_same() -> None:
    document: dict[str, Any] = {"transactions": [PARSED.document]}
    assert read(json.dumps(document).encode(), "json") == (PARSED,)
    assert read(write([PARSED]).encode()) == (PARSED,)
    answer = document | {"revision": "5", "origin": "api", "truncated": False, "sql": []}
    assert read(json.dumps(answer).encode(), "json") == (PARSED,)


def test_odd_texts_come_back_as_they_were() -> None:
    for odd in (
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
        match = Match(f"s{odd}", odd if odd.strip() else None, ((odd, odd),))
        definition = Definition(
            "x", "x", match, (Source(odd, f"{{}}{odd}" if odd != "{}" else None),)
        )
        assert read(write([definition]).encode()) == (definition,)
        document = {"transactions": [definition.document]}
        assert read(json.dumps(document).encode(), "json") == (definition,)


def test_plain_scalars_stay_the_texts_that_they_are() -> None:
    text = "transactions: [{name: 12, match: {operation: on, attr: {v: 1.0, n: 010, b: true}}}]"
    (definition,) = read(text.encode())
    assert definition.name == "12"
    assert definition.match == Match(None, "on", (("v", "1.0"), ("n", "010"), ("b", "true")))


@pytest.mark.usefixtures("either_parser")
def test_all_that_is_wrong_is_said_at_once_with_line_and_field() -> None:
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
    fields = [fault.removeprefix("t.yaml:") for fault in _faults(text)]
    one = "transactions"
    assert fields == [
        f"2: {one}[0].nam: unknown field; did you mean name?",
        f"2: {one}[0]: has no name",
        f"3: {one}[0].match: matches every span: name a service, an operation or an attr",
        f"5: {one}[1].match.servce: unknown field; did you mean service?",
        f"5: {one}[1].match: matches every span: name a service, an operation or an attr",
        f"7: {one}[1].slo.objective: write a number above 0 and below 1",
        f"8: {one}[1].steps[1]: a step before it is called 'a' too",
        f"8: {one}[1].steps[2]: has no name",
        f"9: {one}[1].key.pattern: write {{}} once, in the place of what is taken",
        f"11: {one}[2].id: 16 hexadecimal digits are the id of an automatic transaction",
        f"12: {one}[2].match.attr: 0 attributes: write 1 to 20",
        f"12: {one}[2].match.service: write the service's name",
        f"13: {one}[2].value: has no attr: the attribute's name",
        f"14: {one}[2].user.attr: write an attribute's name",
        f"15: {one}[2].steps: write a list of steps",
        f"16: {one}[2].slo.objective: write a number above 0 and below 1",
        f"16: {one}[2].slo.latency_ms: write a number above 0 and at most 2592000000",
        f"17: {one}[3].name: a name has no control characters",
        f"18: {one}[3].id: write letters, digits, - and _, at most 64",
        f"21: {one}[3].match.attr.k: write the attribute's value",
        f"22: {one}[3].match.attr.: an attribute's name has 1 to 200 characters",
        f"23: {one}[3].key: write at least one of the attributes",
        f"24: {one}[3].steps[0].match: matches every span: name a service, an operation or an attr",
        f"25: {one}[3].slo: has no objective: the share that should be good, such as 0.995",
        f"26: {one}[4]: transactions[1] has the name 'Y' already",
        f"28: {one}[5]: write a mapping with id, name, match, key, value, user, steps and slo",
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "t.yaml:1: write a mapping with transactions"),
        ("transactions:", "t.yaml:1: write a list of transactions: `transactions: [...]`"),
        ("- a", "t.yaml:1: write a mapping with transactions"),
        ("a", "t.yaml:1: write a mapping with transactions"),
        ("transactions: {}", "t.yaml:1: transactions: write a list of transactions"),
    ],
)
def test_a_document_has_a_list_of_transactions(text: str, fault: str) -> None:
    assert _faults(text) == [fault]
    assert read(b"transactions: []") == ()


@pytest.mark.usefixtures("either_parser")
@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        (b"a: &x [1]\nb: *x", 2, "*x: aliases are not read"),
        (b"a: &a [*a, *a]", 1, "aliases"),
        (b"a: {<<: *x}", 1, "aliases"),
        (b"a: !!python/object/apply:os.system [x]", 1, "tags are not read"),
        (b"a: !x {}", 1, "tags are not read"),
        (b"a: 1\n\na: 2", 3, "'a' stands twice in one mapping"),
        (b"? [a]\n: b", 1, "the name of a field is a text"),
        (b"[" * 1000, 1, "nested more than 12 deep"),
        (b"- " * 1000 + b"a", 1, "nested more than 12 deep"),
        (b"a: 1\n---\nb: 1", 2, "a second document begins"),
        (b"a:\n  'x", 2, "found unexpected end of stream"),
        (b"a:\n\t- b", 2, "found character"),
        (b"a:\n  b: \x07", 2, "a control character stands here"),
        (b"a:\n  b: \xff", 2, "is not UTF-8"),
        (b'a:\n  b: "\\ud800"', 2, ""),
    ],
)  # fmt: skip
def test_yaml_that_is_hostile_or_broken_is_an_error_with_its_line(
    text: bytes, line: int, said: str
) -> None:
    (fault,) = _faults(text)
    assert fault.startswith(f"t.yaml:{line}: ")
    assert said in fault


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "t.yaml:1: Expecting value"),
        (b'{\n"a": 1', "t.yaml:2: Expecting"),
        (b'{"a": 1, "a": 2}', "'a' stands twice in one object"),
        (b'{"a": NaN}', "NaN is no number of JSON"),
        (b'{"a": 1' + b"0" * 5000 + b"}", "too many digits"),
        (b'{"\\ud800": 1}', "surrogate"),
        (b'{"a": "\\ud800"}', "surrogate"),
        (b"[" * 14 + b"]" * 14, "nested more than 12 deep"),
        (b"[" * 100_000, "nested more than 12 deep"),
        (b'{"transactions": [{"name": "x", "match": {"service": {}}}]}', "t.yaml: transactions[0]"),
    ],
)
def test_json_that_cannot_be_read(text: bytes, said: str) -> None:
    (fault,) = _faults(text, "json")
    assert said in fault


def test_sizes_are_limited() -> None:
    def define(**fields: Any) -> dict[str, Any]:
        return {"name": "x", "match": {"service": "x"}} | fields

    for fields in (
        {"name": "x" * 201},
        {"id": "x" * 65},
        {"match": {"service": "x" * 1001}},
        {"match": {"attr": {str(number): "x" for number in range(21)}}},
        {"key": {"attr": "x", "pattern": "x" * 1000 + "{}"}},
        {"key": ["x"] * 11},
        {"steps": [f"s{number}" for number in range(MAX_STEPS + 1)]},
    ):
        (fault,) = _faults(json.dumps({"transactions": [define(**fields)]}), "json")
        assert "at most" in fault or "1 to 20" in fault
    many = [define(name=f"n{number}") for number in range(MAX_DEFINITIONS + 1)]
    (fault,) = _faults(json.dumps({"transactions": many}), "json")
    assert "201 transactions: at most 200" in fault
    assert len(read(json.dumps({"transactions": many[1:]}).encode(), "json")) == MAX_DEFINITIONS
    assert "at most 1048576 are read" in _faults(b" " * 1_048_577)[0]


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
def test_an_id_comes_of_the_name(name: str, id: str) -> None:
    assert id_of(name).startswith(id)
    assert len(id_of(name)) <= 64
    (definition,) = read(
        json.dumps({"transactions": [{"name": name, "match": {"service": "x"}}]}).encode(), "json"
    )
    assert definition.id == id_of(name)


def test_two_names_of_the_same_id_are_told_apart_by_giving_one() -> None:
    text = "transactions: [{name: a b, match: {service: x}}, {name: a-b, %s match: {service: x}}]"
    assert _faults(text % "") == [
        "t.yaml:1: transactions[1]: transactions[0] has the id 'a-b' already"
    ]
    assert [each.id for each in read((text % "id: other,").encode())] == ["a-b", "other"]


def test_a_file_is_yaml_unless_its_name_says_json(tmp_path: Path) -> None:
    (tmp_path / "d.json").write_text(json.dumps({"transactions": [PARSED.document]}))
    (tmp_path / "d.yaml").write_text(CHECKOUT)
    assert read_file(tmp_path / "d.json") == read_file(tmp_path / "d.yaml") == (PARSED,)
    with pytest.raises(DefinitionError, match=r"none\.yaml: No such file"):
        read_file(tmp_path / "none.yaml")
