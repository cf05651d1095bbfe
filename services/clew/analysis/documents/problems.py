"""What is wrong with a document: pydantic's errors with lines, in the words of the JSON schema."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from clew.analysis.documents.parsing import ParsedDocument, Path
from clew.storage import StorageError

MAX_PROBLEMS = 100  # of one document; more are counted

Schema = dict[str, Any]

_OUT_OF_RANGE = {
    "greater_than",
    "greater_than_equal",
    "less_than",
    "less_than_equal",
    "finite_number",
    "int_from_float",
    "literal_error",
    "enum",
}
_BOUNDS = {
    "exclusiveMinimum": "above",
    "minimum": "at least",
    "exclusiveMaximum": "below",
    "maximum": "at most",
}


@dataclass(frozen=True)
class DocumentProblem:
    """One problem of a document. `line` counts from 1 and is None where it is not known, as in
    JSON; `field` is a path such as `transactions[1].match`, '' for the document as a whole;
    `detail` says what to write instead."""

    line: int | None
    field: str
    detail: str

    def message(self, source: str) -> str:
        """The problem as `source:line: field: detail`."""
        place = f"{source}:{self.line}" if self.line else source
        return ": ".join(part for part in (place, self.field, self.detail) if part)


class DocumentError(StorageError):
    """A document that cannot be used. `problems` has all of them, ordered by line and field; the
    message has a line for each."""

    def __init__(self, source: str, problems: Sequence[DocumentProblem]) -> None:
        super().__init__("\n".join(problem.message(source) for problem in problems))
        self.problems = problems


def list_problems(
    error: ValidationError, document: ParsedDocument, model: type[BaseModel]
) -> list[DocumentProblem]:
    """The problems that pydantic has with a document that was to be a `model`."""
    explain = _Explanations(document, model)
    errors = [
        (_path(details, document), details)
        for details in error.errors(include_url=False, include_input=False)
        if not _follows(details, document)
    ]
    errors.sort(key=lambda item: (document.lines.get(item[0], 0), item[0]))
    listed = [
        DocumentProblem(document.lines.get(path), _field(path), explain.detail(path, details))
        for path, details in errors[:MAX_PROBLEMS]
    ]
    if len(errors) > MAX_PROBLEMS:
        listed.append(DocumentProblem(None, "", f"{len(errors) - MAX_PROBLEMS} more problems"))
    return listed


def _follows(details: Any, document: ParsedDocument) -> bool:
    """Whether the error only follows from another: a default that needs another field, or a list
    that is too short because some of its items are wrong, also its only one, written without a
    list."""
    if details["type"] == "too_short":
        value = document.value(document.closest(details["loc"]))
        items = value if isinstance(value, list | dict) else [value]
        return len(items) >= int(details["ctx"]["min_length"])
    return bool(details["type"] == "default_factory_not_called")


def _path(details: Any, document: ParsedDocument) -> Path:
    """The path of the value that an error is about; of a missing field, the mapping around it."""
    location = details["loc"]
    return document.closest(location[:-1] if details["type"] == "missing" else location)


def _field(path: Path) -> str:
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return "".join(parts).removeprefix(".")


class _Explanations:
    def __init__(self, document: ParsedDocument, model: type[BaseModel]) -> None:
        self._document = document
        self._root: Schema = model.model_json_schema()

    def detail(self, path: Path, details: Any) -> str:
        """What is wrong at a path, and what to write."""
        error, location, context = details["type"], details["loc"], details.get("ctx", {})
        value = self._document.value(path)
        if error == "missing":
            return _missing(location[-1], self._at(location[:-1]))
        if error == "extra_forbidden":
            return _unknown(location[-1], self._at(location[:-1]))
        if error == "value_error":
            return str(context["error"])
        if location[-1:] == ("[key]",):
            if error == "string_pattern_mismatch":
                return f"the name does not match {context['pattern']}"
            return "the name has " + _size(str(path[-1]), "characters", context)
        if error in ("string_too_short", "string_too_long"):
            return _size(str(value), "characters", context)  # of a number, too
        if error in ("too_short", "too_long"):
            return _size(value, "items", context)
        if error.endswith(("_type", "_parsing")) or error in _OUT_OF_RANGE:
            return f"write {_expected(self._at(location))}"
        return str(details["msg"])

    def _at(self, location: Path) -> list[Schema]:
        """The alternatives that the schema has for a location."""
        schemas = [*self._alternatives([self._root])]
        for part in location:
            inner = [*self._alternatives(_inner(schemas, part))]
            schemas = inner or schemas  # a part of pydantic's own, such as the branch of a union
        return schemas

    def _alternatives(self, schemas: Iterable[Schema]) -> Iterator[Schema]:
        for schema in schemas:
            if "$ref" in schema:
                name = schema["$ref"].rpartition("/")[2]
                yield from self._alternatives([self._root["$defs"][name]])
            elif ("anyOf" in schema or "oneOf" in schema) and "properties" not in schema:
                yield from self._alternatives(schema.get("anyOf") or schema["oneOf"])
            elif schema.get("type") != "null":  # null counts as left out
                yield schema


def _inner(schemas: list[Schema], part: str | int) -> Iterator[Schema]:
    """The schemas of a field or of an item."""
    for schema in schemas:
        if isinstance(part, int):
            inner = schema.get("items")
        else:
            inner = schema.get("properties", {}).get(part, schema.get("additionalProperties"))
        if isinstance(inner, dict):
            yield inner


def _missing(name: str, schemas: list[Schema]) -> str:
    description = next((inner.get("description") for inner in _inner(schemas, name)), None)
    return f"{name} is missing" + (f": {description}" if description else "")


def _unknown(name: str, schemas: list[Schema]) -> str:
    known = [field for schema in schemas for field in schema.get("properties", ())]
    if name in known:  # of another alternative
        return "this field does not go with the others here"
    similar = difflib.get_close_matches(name, known, 1, 0.5)
    hint = f"did you mean {similar[0]}?" if similar else f"the fields here are {_listed(known)}"
    return f"unknown field; {hint}"


def _size(value: Sized, unit: str, context: dict[str, Any]) -> str:
    if "min_length" in context:
        limit = f"at least {context['min_length']}"
    else:
        limit = f"at most {context['max_length']}"
    return f"{len(value)} {unit}: {limit}"


def _expected(schemas: list[Schema]) -> str:
    return " or ".join(dict.fromkeys(_kind(schema) for schema in schemas))


def _kind(schema: Schema) -> str:
    if "enum" in schema or "const" in schema:
        return " or ".join(str(value) for value in schema.get("enum") or [schema["const"]])
    kind = schema.get("type")
    if kind == "object":
        fields = [*schema.get("properties", ())]
        return f"a mapping with {_listed(fields)}" if fields else "a mapping"
    if kind in ("number", "integer"):
        bounds = [f"{word} {schema[name]}" for name, word in _BOUNDS.items() if name in schema]
        noun = "a number" if kind == "number" else "a whole number"
        return " ".join([noun, _listed(bounds)]) if bounds else noun
    return {"array": "a list", "string": "a text", "boolean": "true or false"}.get(
        str(kind), "another value"
    )


def _listed(words: Sequence[str]) -> str:
    return ", ".join(words[:-1]) + f" and {words[-1]}" if len(words) > 1 else words[0]
