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
        ("amount>=5", ("amount", ">=", "5")),
        ("amount<=5", ("amount", "<=", "5")),
        ("key=", ("key", "=", "")),
        ("key!=", ("key", "!=", "")),
        ("key=a=b", ("key", "=", "a=b")),
        ("key=>5", ("key", "=", ">5")),
        ("key=!=", ("key", "=", "!=")),
        ("key==", ("key", "=", "=")),
        ("key~~", ("key", "~", "~")),
        ("key=a in b", ("key", "=", "a in b")),
        ("key~does exists", ("key", "~", "does exists")),
        ("a key with spaces=x", ("a key with spaces", "=", "x")),
        ("a!b=x", ("a!b", "=", "x")),
        ('a"b=x', ('a"b', "=", "x")),
        ('"open=x', ('"open', "=", "x")),
        ("key=two\nlines", ("key", "=", "two\nlines")),
        ("schlüssel=wert", ("schlüssel", "=", "wert")),
        ("key exists", ("key", "exists", "")),
        ("key exists=x", ("key exists", "=", "x")),
        ('"a=b"=c', ("a=b", "=", "c")),
        ('"a>b" >= 5', ("a>b", ">=", " 5")),
        ('"a in b" exists', ("a in b", "exists", "")),
        (r'"say \"=\" \\ \u00e9"=x', (r'say "=" \ é', "=", "x")),
        ('"two\nlines"=x', ("two\nlines", "=", "x")),
        ('""=x', ("", "=", "x")),
    ],
)
def test_a_filter_is_a_key_an_operator_and_a_value(text: str, parts: tuple[str, str, str]) -> None:
    attribute = AttributeFilter.parse(text)
    assert (attribute.key, attribute.operator, attribute.value) == parts
    assert attribute.values == ()
    assert attribute.prefix == ""


@pytest.mark.parametrize(
    ("text", "key", "values"),
    [
        ("key in a", "key", ("a",)),
        ("key in a,b c , d", "key", ("a", "b c", "d")),
        ("key in (a,b)", "key", ("a", "b")),
        ("key in(a,b)", "key", ("a", "b")),
        ("key in [a,b]", "key", ("a", "b")),
        ('key in ["a,b", 1, 2.50, true, "x\\"y"]', "key", ("a,b", "1", "2.50", "true", 'x"y')),
        ('key in "a,b", c', "key", ("a,b", "c")),
        ('key in "",a', "key", ("", "a")),
        ("key in a,,b", "key", ("a", "b")),
        ("my key in a=b,c>d", "my key", ("a=b", "c>d")),
        ('"a = b" in x', "a = b", ("x",)),
        ("key in (a", "key", ("(a",)),
    ],
)
def test_in_has_a_list_of_values(text: str, key: str, values: tuple[str, ...]) -> None:
    assert AttributeFilter.parse(text) == AttributeFilter(key, "in", values=values)


@pytest.mark.parametrize(
    ("text", "key", "prefix"),
    [
        ("scope.name=x", "scope.name", "scope."),
        ("otel.scope.version=x", "otel.scope.version", "otel.scope."),
        ("link.trace_id=x", "link.trace_id", "link."),
        ("event.name=x", "event.name", "event."),
        ('event."a=b"=x', "event.a=b", "event."),
        ('"scope.name"=x', "scope.name", ""),
        ("scope=x", "scope", ""),
        ("scope.=x", "scope.", ""),
        ("microscope.name=x", "microscope.name", ""),
    ],
)
def test_a_prefix_names_the_scope_a_link_or_an_event(text: str, key: str, prefix: str) -> None:
    attribute = AttributeFilter.parse(text)
    assert (attribute.key, attribute.prefix) == (key, prefix)


def test_log_records_and_points_have_a_scope_but_neither_links_nor_events() -> None:
    filters = [AttributeFilter.parse(text) for text in ("scope.name=x", "event.name=y")]
    fragment, parameters = attribute_filters(filters, "LogAttributes")
    assert "ScopeName" in fragment
    assert "Events" not in fragment
    assert parameters == {
        "attr_value_0": "x", "attr_key_1": "event.name", "attr_value_1": "y",
    }  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "",
        "key",
        "=value",
        "!=value",
        ">5",
        ">=5",
        " exists",
        " in a",
        "key!value",
        "amount>",
        "amount>=",
        "amount>much",
        "amount<1,5",
        "amount>nan",
        "amount<=inf",
        "amount<0x10",
        "amount>==5",
        "amount>1e999",
        "amount>5; DROP TABLE otel.otel_traces",
        "key in ",
        "key in ()",
        "key in []",
        "key in ,",
        r'"\ud800"=x',
        r'"\x"=x',
        r'key in "\ud800"',
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
