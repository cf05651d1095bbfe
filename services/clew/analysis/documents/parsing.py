"""Parses YAML and JSON texts, within limits, and remembers the line of every value."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import yaml

MAX_BYTES = 1 << 20
MAX_DEPTH = 12

Form = Literal["yaml", "json"]
Path = tuple[str | int, ...]  # names of fields and indexes of items, from the root

# libyaml's parser is twenty times faster, where PyYAML was built with it.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_CONTROL_CHARACTER = re.compile(
    "[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
)
_NULLS = ("", "~", "null", "Null", "NULL")


class ParseError(ValueError):
    """A text that is not well-formed, or past a limit; `line` is None where it is not known."""

    def __init__(self, line: int | None, detail: str) -> None:
        super().__init__(detail)
        self.line = line
        self.detail = detail


class PlainScalar(str):
    """A YAML scalar without quotes: a text or a number, as the type of its field decides."""

    __slots__ = ()


@dataclass(frozen=True)
class ParsedDocument:
    """The content of a text: dicts, lists and scalars. A scalar of YAML is a PlainScalar, a str (in
    quotes) or None; a scalar of JSON has the type that JSON gives it.

    `lines` has the line (from 1) of every field and item of YAML; it is empty for JSON."""

    content: Any
    lines: dict[Path, int] = field(default_factory=dict)

    def closest(self, location: Path) -> Path:
        """The path of the value at a location. Parts of the location that the text does not have
        are left out: a field that is missing, an item of a list that was left out."""
        path: Path = ()
        value = self.content
        for part in location:
            if _has_part(value, part):
                value = value[part]
                path += (part,)
        return path

    def value(self, path: Path) -> Any:
        """The value at a path that exists."""
        value = self.content
        for part in path:
            value = value[part]
        return value


def _has_part(value: Any, part: str | int) -> bool:
    if isinstance(value, dict):
        return part in value
    return isinstance(value, list) and isinstance(part, int) and part < len(value)


def parse(text: bytes, form: Form) -> ParsedDocument:
    """Parses a UTF-8 text. Raises ParseError."""
    if len(text) > MAX_BYTES:
        raise ParseError(None, f"{len(text)} bytes: at most {MAX_BYTES} are read")
    try:
        decoded = text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = text.count(b"\n", 0, error.start) + 1
        raise ParseError(line, "the text is not UTF-8") from error
    return ParsedDocument(_json(decoded)) if form == "json" else _yaml(decoded)


# ---- YAML


def _yaml(text: str) -> ParsedDocument:
    try:
        return _YamlParser(yaml.parse(text, Loader=_LOADER)).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise ParseError(mark and mark.line + 1, str(error.problem or error.context)) from error
    except yaml.YAMLError as error:  # a control character: the two parsers report it differently
        character = _CONTROL_CHARACTER.search(text)
        line = character and text.count("\n", 0, character.start()) + 1
        raise ParseError(line, 'control character: write it as "\\x.." in quotes') from error


class _YamlParser:
    """Builds a document from the parser's events: before YAML's rules turn scalars into numbers,
    dates and booleans."""

    def __init__(self, events: Iterator[Any]) -> None:
        self._events = events
        self._lines: dict[Path, int] = {(): 1}

    def document(self) -> ParsedDocument:
        """The only document of the stream; an empty stream is a null."""
        next(self._events)
        event = next(self._events)
        if isinstance(event, yaml.StreamEndEvent):
            return ParsedDocument(None, self._lines)
        root = next(self._events)
        self._lines[()] = _line(root)
        content = self._value(root, ())
        next(self._events)
        event = next(self._events)
        if not isinstance(event, yaml.StreamEndEvent):
            raise ParseError(_line(event), "a second document begins here: write one")
        return ParsedDocument(content, self._lines)

    def _value(self, event: Any, path: Path) -> Any:
        if isinstance(event, yaml.AliasEvent):
            raise ParseError(_line(event), f"*{event.anchor}: aliases are not allowed")
        if event.tag is not None:
            raise ParseError(_line(event), f"{event.tag}: tags are not allowed")
        if len(path) > MAX_DEPTH:
            raise ParseError(_line(event), _TOO_DEEP)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._items(path)
        if isinstance(event, yaml.MappingStartEvent):
            return self._fields(path)
        text = _checked(event.value, _line(event))
        if event.style not in (None, ""):  # libyaml says '' of a plain scalar, PyYAML None
            return text
        return None if text in _NULLS else PlainScalar(text)

    def _items(self, path: Path) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            item = (*path, len(items))
            self._lines[item] = _line(event)
            items.append(self._value(event, item))
        return items

    def _fields(self, path: Path) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            line = _line(event)
            if not isinstance(event, yaml.ScalarEvent) or event.tag is not None:
                raise ParseError(line, "the name of a field must be a text")
            name = _checked(event.value, line)
            if name in fields:
                raise ParseError(line, f"duplicate field {name!r}")
            self._lines[*path, name] = line
            fields[name] = self._value(next(self._events), (*path, name))
        return fields


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


# ---- JSON


def _json(text: str) -> Any:
    try:
        content = json.loads(text, object_pairs_hook=_fields, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise ParseError(error.lineno, f"{error.msg} (column {error.colno})") from error
    except ParseError:
        raise
    except ValueError as error:
        raise ParseError(None, "a number has too many digits") from error
    except RecursionError as error:
        raise ParseError(None, _TOO_DEEP) from error
    _check(content, 0)
    return content


def _fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, value in pairs:
        if name in fields:
            raise ParseError(None, f"duplicate field {name!r}")
        fields[_checked(name)] = value
    return fields


def _refuse_constant(text: str) -> None:
    raise ParseError(None, f"{text} is not a JSON number")


def _check(value: Any, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise ParseError(None, _TOO_DEEP)
    if isinstance(value, str):
        _checked(value)
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            _check(inner, depth + 1)


_TOO_DEEP = f"nested more than {MAX_DEPTH} deep"


def _checked(text: str, line: int | None = None) -> str:
    """The text. Raises ParseError for half a surrogate pair, which UTF-8 cannot hold."""
    if text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text):
        return text
    raise ParseError(line, "half of a surrogate pair is not a character")
