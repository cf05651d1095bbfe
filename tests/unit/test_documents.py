"""Documents: YAML and JSON read into models, and every problem with its line and field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import yaml
from pydantic import BaseModel, Field

from clew.analysis import documents
from clew.analysis.documents import (
    UNQUOTED,
    Distinct,
    DocumentError,
    DocumentProblem,
    EditorSchema,
    Fields,
    Form,
    Name,
    OneOrMore,
    Text,
    parsing,
    problems,
)


class Receiver(Fields):
    shorthand = "name"

    name: Name
    """Who gets the message."""
    severity: Literal["page", "ticket"] = "page"


class Rule(Fields):
    """An example of another kind of document."""

    name: Name
    """The rule's name."""
    threshold: Annotated[float, Field(ge=0, le=10, strict=True), UNQUOTED] = 1
    labels: Annotated[dict[Annotated[str, Field(max_length=5)], Text], Field(max_length=2)] = Field(
        default={}
    )
    receivers: Annotated[tuple[Receiver, ...], Field(min_length=1, max_length=3), OneOrMore()] = ()
    enabled: bool = True
    samples: int | None = None


class Rules(Fields):
    rules: Annotated[tuple[Rule, ...], Distinct("name")]


@pytest.fixture(params=["CSafeLoader", "SafeLoader"])
def either_parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """PyYAML with libyaml and without."""
    monkeypatch.setattr(parsing, "_LOADER", getattr(yaml, request.param))


def _read(text: str, form: Form = "yaml") -> Rules:
    return documents.read(text.encode(), form, Rules)


def _problems(
    text: str | bytes, form: Form = "yaml", model: type[BaseModel] = Rules
) -> list[DocumentProblem]:
    with pytest.raises(DocumentError) as error:
        documents.read(text.encode() if isinstance(text, str) else text, form, model, "t")
    messages = [problem.message("t") for problem in error.value.problems]
    assert str(error.value) == "\n".join(messages)
    return list(error.value.problems)


@pytest.mark.usefixtures("either_parser")
def test_plain_scalars_are_texts_in_text_fields_and_numbers_in_number_fields() -> None:
    text = (
        "rules: [{name: 12, threshold: 1.5, labels: {a: on, b: 1.0}, enabled: false, samples: 7}]"
    )
    (rule,) = _read(text).rules
    assert rule.name == "12"
    assert rule.threshold == 1.5
    assert rule.labels == {"a": "on", "b": "1.0"}
    assert rule.enabled is False
    assert rule.samples == 7
    assert type(rule.name) is str


@pytest.mark.parametrize(
    "number", ["'2'", '"2"', "nan", ".inf", "1_0", "true", "11", "[2]", "1e999"]
)
def test_a_number_field_takes_numbers_in_its_range_without_quotes(number: str) -> None:
    (problem,) = _problems(f"rules: [{{name: x, threshold: {number}}}]")
    assert problem.detail == "write a number at least 0 and at most 10"
    for good in ("2", "+2", ".5", "1e-1", "5."):
        assert _read(f"rules: [{{name: x, threshold: {good}}}]").rules[0].threshold == float(good)


@pytest.mark.parametrize("number", ['"2"', "true", "11", "[2]", "1e999", "1" + "0" * 400])
def test_json_has_the_types_of_json(number: str) -> None:
    (problem,) = _problems(f'{{"rules": [{{"name": "x", "threshold": {number}}}]}}', "json")
    assert problem.detail == "write a number at least 0 and at most 10"
    text = '{"rules": [{"name": 1.0, "labels": {"a": true, "b": 7}}]}'
    (rule,) = _read(text, "json").rules
    assert rule.name == "1.0"
    (problem,) = _problems('{"rules": [{"name": "x", "samples": 1.5}]}', "json")
    assert problem.detail == "write a whole number"
    assert rule.labels == {"a": "true", "b": "7"}


def test_a_field_that_is_null_counts_as_left_out() -> None:
    for text in (
        "rules: [{name: x, threshold: , receivers: ~, labels: null}]",
        '{"rules": [{"name": "x", "threshold": null, "receivers": null}]}',
    ):
        (rule,) = _read(text, "json" if text[0] == "{" else "yaml").rules
        assert rule == Rule(name="x")
    assert [problem.field for problem in _problems("rules: [{nam: }]")] == [
        "rules[0]",
        "rules[0].nam",
    ]


def test_a_shorthand_and_a_single_item_come_back_as_they_were_written() -> None:
    for receivers in ("ops", {"name": "ops", "severity": "ticket"}, ["ops", "dev"]):
        rule = Rule.model_validate({"name": "x", "receivers": receivers})
        assert rule.document == {"name": "x", "receivers": receivers}
    assert Rule.model_validate({"name": "x", "receivers": ["ops"]}).receivers == (
        Receiver(name="ops"),
    )


@pytest.mark.usefixtures("either_parser")
def test_every_problem_is_reported_in_the_order_of_lines() -> None:
    text = """\
rules:
- name: a
  treshold: 2
- threshold: x
  color: red
  labels:
    toolong: v
    b: {}
- name: a
  receivers: [ops, {name: dev, severity: mail}, [x], {}]
  enabled: maybe
- name: " "
  labels: {a: v, b: v, c: v}
- name: b
  receivers: []
  samples: 1.5
- text
- name: b
"""
    found = [(problem.line, problem.field, problem.detail) for problem in _problems(text)]
    rule = "name, threshold, labels, receivers, enabled and samples"
    assert found == [
        (3, "rules[0].treshold", "unknown field; did you mean threshold?"),
        (4, "rules[1]", "name is missing: The rule's name."),
        (4, "rules[1].threshold", "write a number at least 0 and at most 10"),
        (5, "rules[1].color", f"unknown field; the fields here are {rule}"),
        (7, "rules[1].labels.toolong", "the name has 7 characters: at most 5"),
        (8, "rules[1].labels.b", "write a text"),
        (9, "rules[2]", "item 1 of this list has the name 'a' already"),
        (10, "rules[2].receivers[1].severity", "write page or ticket"),
        (10, "rules[2].receivers[2]", "write a text or a mapping with name and severity"),
        (10, "rules[2].receivers[3]", "name is missing: Who gets the message."),
        (11, "rules[2].enabled", "write true or false"),
        (12, "rules[3].name", "write a text that is not blank"),
        (13, "rules[3].labels", "3 items: at most 2"),
        (15, "rules[4].receivers", "0 items: at least 1"),
        (16, "rules[4].samples", "write a whole number"),
        (17, "rules[5]", f"write a mapping with {rule}"),
        (18, "rules[6]", "item 5 of this list has the name 'b' already"),
    ]
    assert {problem.line for problem in _problems(json.dumps({"rules": [{}]}), "json")} == {None}


def test_of_very_many_problems_the_first_are_reported() -> None:
    rule = {"name": "x"} | {f"f{number}": 1 for number in range(problems.MAX_PROBLEMS + 7)}
    found = _problems(json.dumps({"rules": [rule]}), "json")
    assert len(found) == problems.MAX_PROBLEMS + 1
    assert found[-1].detail == "7 more problems"


def test_any_model_can_be_read() -> None:
    class Box(BaseModel):
        size: int
        parts: list[str | Receiver] = []

    box = documents.read(b"{size: 3, parts: [a, {name: b}]}", "yaml", Box)
    assert (box.size, box.parts) == (3, ["a", Receiver(name="b")])
    found = _problems("{size: x, parts: [{name: [a]}]}", model=Box)
    assert ("size", "write a whole number") in [(each.field, each.detail) for each in found]
    assert ("parts[0].name", "write a text") in [(each.field, each.detail) for each in found]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "t:1: write a mapping with rules"),
        ("rules:", "t:1: rules is missing"),
        ("- a", "t:1: write a mapping with rules"),
        ("a", "t:1: write a mapping with rules"),
        ("rules: {}", "t:1: rules: write a list"),
        ("rules: a", "t:1: rules: write a list"),
    ],
)
def test_a_document_that_is_something_else(text: str, fault: str) -> None:
    assert [problem.message("t") for problem in _problems(text)] == [fault]


@pytest.mark.usefixtures("either_parser")
@pytest.mark.parametrize(
    ("text", "line", "detail"),
    [
        (b"a: &x [1]\nb: *x", 2, "*x: aliases are not allowed"),
        (b"a: &a [*a, *a]", 1, "aliases"),
        (b"a: {<<: *x}", 1, "aliases"),
        (b"a: !!python/object/apply:os.system [x]", 1, "tags are not allowed"),
        (b"a: !x {}", 1, "tags are not allowed"),
        (b"a: 1\n\na: 2", 3, "duplicate field 'a'"),
        (b"? [a]\n: b", 1, "the name of a field must be a text"),
        (b"[" * 1000, 1, "nested more than 12 deep"),
        (b"- " * 1000 + b"a", 1, "nested more than 12 deep"),
        (b"a: 1\n---\nb: 1", 2, "a second document begins here"),
        (b"a:\n  'x", 2, "found unexpected end of stream"),
        (b"a:\n\t- b", 2, "found character"),
        (b"a:\n  b: \x07", 2, "control character"),
        (b"a:\n  b: \xff", 2, "not UTF-8"),
        (b'a:\n  b: "\\ud800"', 2, ""),
    ],
)  # fmt: skip
def test_hostile_or_broken_yaml_is_an_error_with_its_line(
    text: bytes, line: int, detail: str
) -> None:
    (problem,) = _problems(text)
    assert problem.line == line
    assert detail in problem.detail


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "t:1: Expecting value"),
        (b'{\n"a": 1', "t:2: Expecting"),
        (b'{"a": 1, "a": 2}', "duplicate field 'a'"),
        (b'{"a": NaN}', "NaN is not a JSON number"),
        (b'{"a": 1' + b"0" * 5000 + b"}", "too many digits"),
        (b'{"\\ud800": 1}', "surrogate"),
        (b'{"a": "\\ud800"}', "surrogate"),
        (b"[" * 14 + b"]" * 14, "nested more than 12 deep"),
        (b"[" * 100_000, "nested more than 12 deep"),
    ],
)
def test_hostile_or_broken_json_is_an_error(text: bytes, message: str) -> None:
    (problem,) = _problems(text, "json")
    assert message in problem.message("t")


def test_the_size_of_a_text_is_limited() -> None:
    (problem,) = _problems(b" " * (documents.MAX_BYTES + 1))
    assert problem.detail == "1048577 bytes: at most 1048576 are read"


def test_a_file_is_yaml_unless_its_name_says_json(tmp_path: Path) -> None:
    (tmp_path / "d.json").write_text('{"rules": [{"name": "x"}]}')
    (tmp_path / "d.yaml").write_text("rules: [{name: x}]")
    rules = Rules(rules=(Rule(name="x"),))
    assert documents.read_file(tmp_path / "d.json", Rules) == rules
    assert documents.read_file(tmp_path / "d.yaml", Rules) == rules
    with pytest.raises(DocumentError, match=r"none\.yaml: No such file"):
        documents.read_file(tmp_path / "none.yaml", Rules)


def test_the_schema_for_editors_allows_scalars_of_any_type_in_text_fields() -> None:
    schema: dict[str, Any] = Rules.model_json_schema(schema_generator=EditorSchema)
    rule = schema["$defs"]["Rule"]["properties"]
    assert rule["name"]["type"] == ["string", "number", "boolean"]
    assert rule["threshold"]["type"] == "number"
    assert rule["receivers"]["anyOf"][0] == {"$ref": "#/$defs/Receiver"}
    assert [option["type"] for option in schema["$defs"]["Receiver"]["anyOf"]] == [
        ["string", "number", "boolean"],
        "object",
    ]
