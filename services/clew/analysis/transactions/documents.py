"""YAML and JSON texts that people write, as values that know the line they stand in.

YAML here is mappings, lists and scalars: no aliases, no tags, nothing twice. A few bytes of those
become gigabytes, or something else than was meant. What a scalar is, is for its field to say: a
plain `on` or `1.0` stays the text that it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

MAX_BYTES = 1 << 20
MAX_DEPTH = 12

Scalar = str | int | float | bool
# libyaml's parser is twenty times faster, where PyYAML was built with it.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# What YAML leaves out of its texts.
_UNREADABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NULLS = ("", "~", "null", "Null", "NULL")


class Malformed(ValueError):
    """A text that is no document; `line` is None where it is not known."""

    def __init__(self, line: int | None, detail: str) -> None:
        super().__init__(detail)
        self.line = line
        self.detail = detail


@dataclass(frozen=True)
class Node:
    """A value and its line (from 1; None in JSON). Of a mapping, `lines` has those of its keys.

    A plain YAML scalar is a str; so is a quoted one, which `quoted` tells apart."""

    value: Scalar | list[Node] | dict[str, Node] | None
    line: int | None = None
    quoted: bool = False
    lines: dict[str, int] = field(default_factory=dict)


def read(text: bytes, form: str) -> Node:
    """The document in a text of that form, 'yaml' or 'json'. Raises Malformed."""
    if len(text) > MAX_BYTES:
        raise Malformed(None, f"{len(text)} bytes: at most {MAX_BYTES} are read")
    try:
        decoded = text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Malformed(_line_at(text, error.start), "is not UTF-8") from error
    return _json(decoded) if form == "json" else _yaml(decoded)


def _line_at(text: bytes, position: int) -> int:
    return text.count(b"\n", 0, position) + 1


def _yaml(text: str) -> Node:
    try:
        events = yaml.parse(text, Loader=_LOADER)
        document = _Events(events).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise Malformed(mark and mark.line + 1, str(error.problem or error.context)) from error
    except yaml.YAMLError as error:  # of characters: libyaml and PyYAML say where in other ways
        found = _UNREADABLE.search(text)
        line = found and text.count("\n", 0, found.start()) + 1
        raise Malformed(line, 'a control character stands here: write it as "\\x.."') from error
    return document


class _Events:
    def __init__(self, events: Iterator[Any]) -> None:
        self._events = events

    def document(self) -> Node:
        """The one document of the stream; an empty stream is a null."""
        next(self._events)
        event = next(self._events)
        if isinstance(event, yaml.StreamEndEvent):
            return Node(None, 1)
        node = self._node(next(self._events), 0)
        next(self._events)
        event = next(self._events)
        if not isinstance(event, yaml.StreamEndEvent):
            raise Malformed(_line(event), "a second document begins: write one")
        return node

    def _node(self, event: Any, depth: int) -> Node:
        line = _line(event)
        if isinstance(event, yaml.AliasEvent):
            raise Malformed(line, f"*{event.anchor}: aliases are not read; write it out")
        if event.tag is not None:
            raise Malformed(line, f"{event.tag}: tags are not read")
        if depth > MAX_DEPTH:
            raise Malformed(line, f"nested more than {MAX_DEPTH} deep")
        if isinstance(event, yaml.SequenceStartEvent):
            items = []
            while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
                items.append(self._node(event, depth + 1))
            return Node(items, line)
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(line, depth)
        # libyaml's parser and PyYAML's differ in what they call the style of a plain scalar
        quoted = event.style not in (None, "")
        text = _sound(event.value, line)
        return Node(None if text in _NULLS and not quoted else text, line, quoted=quoted)

    def _mapping(self, line: int, depth: int) -> Node:
        members: dict[str, Node] = {}
        lines: dict[str, int] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent) or event.tag is not None:
                raise Malformed(_line(event), "the name of a field is a text")
            name = _sound(event.value, _line(event))
            if name in members:
                raise Malformed(_line(event), f"{name!r} stands twice in one mapping")
            lines[name] = _line(event)
            members[name] = self._node(next(self._events), depth + 1)
        return Node(members, line, lines=lines)


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


def _json(text: str) -> Node:
    try:
        return _of_json(json.loads(text, object_pairs_hook=_members, parse_constant=_no_number))
    except json.JSONDecodeError as error:
        raise Malformed(error.lineno, f"{error.msg} (column {error.colno})") from error
    except Malformed:
        raise
    except ValueError as error:
        raise Malformed(None, "a number has too many digits") from error
    except RecursionError as error:
        raise Malformed(None, f"nested more than {MAX_DEPTH} deep") from error


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name, value in pairs:
        if name in members:
            raise Malformed(None, f"{name!r} stands twice in one object")
        members[_sound(name)] = value
    return members


def _no_number(text: str) -> None:
    raise Malformed(None, f"{text} is no number of JSON")


def _of_json(value: Any, depth: int = 0) -> Node:
    if depth > MAX_DEPTH:
        raise Malformed(None, f"nested more than {MAX_DEPTH} deep")
    if isinstance(value, dict):
        return Node({name: _of_json(each, depth + 1) for name, each in value.items()})
    if isinstance(value, list):
        return Node([_of_json(each, depth + 1) for each in value])
    return Node(_sound(value), quoted=True) if isinstance(value, str) else Node(value)


def _sound(text: str, line: int | None = None) -> str:
    """The text, which UTF-8 can hold: half of a surrogate pair is no character."""
    if text.isascii() or not any("\ud800" <= each <= "\udfff" for each in text):
        return text
    raise Malformed(line, "half of a surrogate pair is no character")
