"""Filters on attributes as requests write them: `http.route=/cart`, `"a key"=x`, `amount>=5`, ….

The syntax, in which `key` is any text without an operator, or a JSON string in double quotes:

    key=value  key!=value  key~part  key>number  key>=number  key<number  key<=number
    key in value,value,…   key exists

The leftmost operator counts. A value of `in` may be a string in double quotes too, and the values
may stand in parentheses or be a JSON array.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass

from clew.storage.errors import StorageError

COMPARISONS = ("<", "<=", ">", ">=")
OPERATOR = r"!=|>=|<=|[=~><]|\s+in(?=[\s(\[])|\s+exists\s*\Z"
PREFIX = r"((?:otel\.)?scope\.|link\.|event\.)"
STRING = r'"(?:[^"\\]|\\.)*"'
SIMPLE = re.compile(rf"{PREFIX}?(.+?)({OPERATOR})", re.DOTALL)
QUOTED = re.compile(rf"{PREFIX}?({STRING})(\s*(?:{OPERATOR}))", re.DOTALL)
LISTED_VALUE = re.compile(rf"\s*(?:({STRING})|([^,]*?))\s*(?:,|\Z)", re.DOTALL)
SYNTAX = (
    "write key=value, key!=value, key~part, key>number, key>=number, key<number, key<=number, "
    'key in value,value or key exists; a key with such signs in double quotes: "a=b"=value'
)


class FilterError(StorageError):
    """A filter that cannot be parsed; the message shows the syntax."""


@dataclass(frozen=True)
class AttributeFilter:
    """A condition on one attribute: `key`, `operator` and `value`; `values` are those of `in`.

    The operators are `=`, `!=`, `~` (contains), `>`, `>=`, `<` and `<=` (of numbers), `in` and
    `exists`. `prefix`: the start of a key such as `scope.name` that is a part of the span's scope,
    links or events, where the rows have those; empty for a key of attributes."""

    key: str
    operator: str
    value: str = ""
    values: tuple[str, ...] = ()
    prefix: str = ""

    @property
    def is_indexed(self) -> bool:
        """Whether indexes find the rows that it holds of."""
        values = self.values or (self.value,)
        return self.operator in ("=", "in") and not self.prefix and all(values)

    @classmethod
    def parse(cls, text: str) -> AttributeFilter:
        """Parse `http.route=/checkout`, `http.route~check`, `http.response.status_code>=500`, ….

        Raises FilterError."""
        match = QUOTED.match(text)
        key = _text(match[2], text) if match else ""
        if match is None:
            match = SIMPLE.match(text)
            if match is None or re.match(OPERATOR, text):
                raise FilterError(f"attr {text!r}: {SYNTAX}")
            key = match[2]
        prefix, operator, value = match[1] or "", match[3].strip(), text[match.end() :]
        if operator in COMPARISONS and not _is_number(value):
            raise FilterError(
                f"attr {text!r}: {operator} compares numbers; {value!r} is not a number"
            )
        if operator == "in":
            return cls(prefix + key, operator, "", _listed_values(value, text), prefix)
        return cls(prefix + key, operator, value, (), prefix)


def _text(quoted: str, text: str) -> str:
    """The text of a JSON string that is part of the filter `text`."""
    try:
        value: str = json.loads(quoted, strict=False)
        value.encode()
    except ValueError as error:
        raise FilterError(f"attr {text!r}: {quoted} is not a JSON string") from error
    return value


def _listed_values(listed: str, text: str) -> tuple[str, ...]:
    listed = listed.strip()
    if listed.startswith("[") and (values := _json_array(listed)) is not None:
        return values
    if (listed[:1], listed[-1:]) in (("(", ")"), ("[", "]")):
        listed = listed[1:-1]
    parts = [match for match in LISTED_VALUE.finditer(listed) if match[1] or match[2]]
    if not parts:
        raise FilterError(f"attr {text!r}: after in, write at least one value; {SYNTAX}")
    return tuple(_text(part[1], text) if part[1] else part[2] for part in parts)


def _json_array(listed: str) -> tuple[str, ...] | None:
    """The values of a JSON array of texts, numbers and booleans, as attributes store them."""
    try:
        values = json.loads(listed, strict=False, parse_float=str, parse_int=str)
        if values and all(isinstance(value, str | bool) for value in values):
            texts = [value if isinstance(value, str) else json.dumps(value) for value in values]
            "".join(texts).encode()
            return tuple(texts)
    except (ValueError, RecursionError):
        pass
    return None


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
