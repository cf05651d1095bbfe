"""Filters on attributes: their syntax, and that no text of a filter becomes SQL."""

from __future__ import annotations

import re

import pytest

from clew.storage import AttributeFilter, FilterError, attribute_filters


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("http.route=/checkout", ("http.route", "=", "/checkout")),
        ("http.route!=/checkout", ("http.route", "!=", "/checkout")),
        ("http.route~check", ("http.route", "~", "check")),
        ("amount>4.5", ("amount", ">", "4.5")),
        ("amount<-1e3", ("amount", "<", "-1e3")),
        ("key=", ("key", "=", "")),
        ("key!=", ("key", "!=", "")),
        ("key=a=b", ("key", "=", "a=b")),
        ("key=!=", ("key", "=", "!=")),
        ("key==", ("key", "=", "=")),
        ("key~~", ("key", "~", "~")),
        ("a key with spaces=x", ("a key with spaces", "=", "x")),
        ("key=two\nlines", ("key", "=", "two\nlines")),
        ("schlüssel=wert", ("schlüssel", "=", "wert")),
    ],
)
def test_a_filter_is_a_key_an_operator_and_a_value(text: str, parts: tuple[str, str, str]) -> None:
    attribute = AttributeFilter.parse(text)
    assert (attribute.key, attribute.operator, attribute.value) == parts


@pytest.mark.parametrize(
    "text",
    [
        "",
        "key",
        "=value",
        "!=value",
        ">5",
        "key!value",
        "amount>",
        "amount>much",
        "amount<1,5",
        "amount>nan",
        "amount>inf",
        "amount<0x10",
        "amount>=5",
        "amount>1e999",
        "amount>5; DROP TABLE otel.otel_traces",
    ],
)
def test_the_error_for_an_unparsable_filter_shows_the_syntax(text: str) -> None:
    with pytest.raises(FilterError, match="attr"):
        AttributeFilter.parse(text)


HOSTILE = (
    "'",
    "''",
    '"',
    "\\",
    "\\'",
    "`",
    "{attr_key_0:String}",
    "{x:Identifier}",
    "%(key)s",
    "{}",
    "{0}",
    "{key}",
    "/*filters*/",
    "*/",
    "-- ",
    ";",
    "') OR 1 --",
    "\x00",
    "\n",
    "\N{ZERO WIDTH SPACE}",
)


@pytest.mark.parametrize("operator", ["=", "!=", "~"])
@pytest.mark.parametrize("text", HOSTILE)
def test_keys_and_values_are_parameters_and_no_text_of_the_statement(
    text: str, operator: str
) -> None:
    hostile, harmless = (
        AttributeFilter(key, operator, value) for key, value in ((text, text), ("key", "value"))
    )
    fragment, parameters = attribute_filters([hostile], "SpanAttributes")
    assert fragment == attribute_filters([harmless], "SpanAttributes")[0]
    assert parameters == {"attr_key_0": text, "attr_value_0": text}


def test_every_filter_has_its_own_parameters() -> None:
    filters = [
        AttributeFilter.parse(text) for text in ("a=1", "b!=2", "c~3", "d>4", "e<5_0", "a=1")
    ]
    fragment, parameters = attribute_filters(filters, "LogAttributes")
    assert parameters == {
        "attr_key_0": "a", "attr_value_0": "1",
        "attr_key_1": "b", "attr_value_1": "2",
        "attr_key_2": "c", "attr_value_2": "3",
        "attr_key_3": "d", "attr_value_3": 4.0,
        "attr_key_4": "e", "attr_value_4": 50.0,
        "attr_key_5": "a", "attr_value_5": "1",
    }  # fmt: skip
    assert set(re.findall(r"\{(\w+):\w+\}", fragment)) == parameters.keys()
    assert fragment.count(" AND (") >= len(filters)
    assert fragment.count("(") == fragment.count(")")
    assert "SpanAttributes" not in fragment


def test_without_filters_the_fragment_is_empty() -> None:
    assert attribute_filters([], "SpanAttributes") == ("", {})
