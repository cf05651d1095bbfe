"""What a definition of a business transaction says: which spans it matches, how their
occurrences are told apart, what they are worth, and the steps they go through.

`read` takes it from YAML or JSON (docs/definitions.md has every field), `write` puts it there.
"""

from __future__ import annotations

import difflib
import hashlib
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from clew.analysis.transactions.documents import Malformed, Node
from clew.analysis.transactions.documents import read as read_document
from clew.storage.errors import StorageError

ANSWERED = {"revision", "origin", "truncated", "sql"}
MAX_DEFINITIONS = 200
MAX_STEPS = 50
MAX_SOURCES = 10
MAX_ATTRIBUTES = 20
MAX_NAME = 200  # characters
MAX_TEXT = 1000
MAX_LATENCY_MS = 30 * 86_400_000


class DefinitionError(StorageError):
    """Definitions that cannot be used: each fault of them, a line of the message for each."""

    def __init__(self, source: str, faults: Sequence[Fault]) -> None:
        super().__init__("\n".join(fault.at(source) for fault in faults))
        self.faults = faults


@dataclass(frozen=True)
class Fault:
    """What is wrong in a field, and what to write; '' for the document as a whole."""

    line: int | None
    field: str
    detail: str

    def at(self, source: str) -> str:
        where = f"{source}:{self.line}" if self.line else source
        return ": ".join(part for part in (where, self.field, self.detail) if part)


@dataclass(frozen=True)
class Match:
    """What a span has to be, in all that is not None; `attributes` are (key, value) pairs of its
    own or its resource's."""

    service: str | None = None
    operation: str | None = None
    attributes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Source:
    """Where a key, a value or a user is found: in an attribute; with a pattern, what stands in the
    place of `{}` in the attribute's text."""

    attribute: str
    pattern: str | None = None

    @property
    def expression(self) -> str:
        """The pattern as a regular expression of all of the text, its one group what is taken; ''
        without a pattern."""
        if self.pattern is None:
            return ""
        before, _, after = self.pattern.partition("{}")
        return rf"^[\s\S]*?{re.escape(before)}([^/?#]+){re.escape(after)}[\s\S]*$"


@dataclass(frozen=True)
class Step:
    """`match` None: an operation of this name, of the service of the entry."""

    name: str
    match: Match | None = None


@dataclass(frozen=True)
class Slo:
    """The share (`objective`, above 0 and below 1) of occurrences that should be good: without an
    error and, where there is a `latency_ms`, at most so long."""

    objective: float
    latency_ms: float | None = None


@dataclass(frozen=True)
class Definition:
    """A business transaction. Sources are tried in order, the first that is found counts; without
    a key, every trace is an occurrence of its own."""

    id: str
    name: str
    match: Match
    key: tuple[Source, ...] = ()
    value: tuple[Source, ...] = ()
    user: tuple[Source, ...] = ()
    steps: tuple[Step, ...] = ()
    slo: Slo | None = None

    @property
    def document(self) -> dict[str, Any]:
        """The definition as `read` takes it."""
        members = {
            "id": self.id,
            "name": self.name,
            "match": _match_document(self.match),
            "key": _source_document(self.key),
            "value": _source_document(self.value),
            "user": _source_document(self.user),
            "steps": [_step_document(step) for step in self.steps],
            "slo": self.slo and _slo_document(self.slo),
        }
        return _without_nothing(members)


def read(text: bytes, form: str = "yaml", source: str = "definitions") -> tuple[Definition, ...]:
    """The definitions in a document, 'yaml' or 'json'. Raises DefinitionError with all that is
    wrong in it; `source` is what it is called there. In JSON, what the API adds to its answers is
    passed over: an answer can be sent back."""
    faults: list[Fault] = []
    try:
        document = read_document(text, form)
    except Malformed as error:
        raise DefinitionError(source, [Fault(error.line, "", error.detail)]) from error
    if form == "json" and isinstance(document.value, dict):
        for name in ANSWERED & document.value.keys():
            del document.value[name]
    definitions = _definitions(_Field(document, "", faults))
    if faults:
        raise DefinitionError(source, sorted(faults, key=lambda fault: fault.line or 0))
    return definitions


def read_file(path: Path) -> tuple[Definition, ...]:
    """The definitions in a YAML file, or in a JSON file by its name. Raises DefinitionError."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise DefinitionError(str(path), [Fault(None, "", error.strerror or str(error))]) from error
    return read(text, "json" if path.suffix == ".json" else "yaml", str(path))


def write(definitions: Iterable[Definition]) -> str:
    """As YAML that `read` takes; an id is written where the name does not give it."""
    documents = [each.document for each in definitions]
    for document in documents:
        if document["id"] == id_of(document["name"]):
            del document["id"]
    return str(
        yaml.safe_dump({"transactions": documents}, sort_keys=False, allow_unicode=True, width=100)
    )


def id_of(name: str) -> str:
    """The id of a definition of that name: its letters and digits, lowercase, in ASCII. Where that
    loses letters, or looks like an automatic transaction's id, a hash of the name says the rest."""
    plain = unicodedata.normalize("NFKD", name)
    plain = "".join(character for character in plain if not unicodedata.combining(character))
    slug = re.sub(r"[^a-z0-9]+", "-", plain.lower().encode("ascii", "replace").decode()).strip("-")
    if not any(each.isalnum() and not each.isascii() for each in plain) and _is_free(slug):
        return slug[:MAX_ID].strip("-") if len(slug) <= MAX_ID else _hashed(slug, name)
    return _hashed(slug, name)


def _hashed(slug: str, name: str) -> str:
    digest = hashlib.sha256(name.encode()).hexdigest()[:10]
    return f"{slug[: MAX_ID - 11].strip('-') or 'transaction'}-{digest}"


MAX_ID = 64
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_AUTOMATIC = re.compile(r"[0-9a-fA-F]{16}", re.ASCII)


def _is_free(id: str) -> bool:
    return _ID.fullmatch(id) is not None and _AUTOMATIC.fullmatch(id) is None


class _Field:
    """A value at its place in the document; what is wrong with it goes to `faults`."""

    def __init__(self, node: Node, name: str, faults: list[Fault], line: int | None = None) -> None:
        self.node = node
        self.name = name
        self.line = node.line if line is None else line
        self._faults = faults

    def wrong(self, detail: str, line: int | None = None) -> None:
        self._faults.append(Fault(self.line if line is None else line, self.name, detail))

    def members(self, *known: str) -> dict[str, _Field] | None:
        """The members that are not null, by name; None when this is no mapping."""
        node = self.node
        if not isinstance(node.value, dict):
            self.wrong(f"write a mapping with {_listed(known)}")
            return None
        for name in node.value:
            if name not in known:
                self._unknown(name, known)
        return {name: each for name, each in self._members() if name in known}

    def all_members(self) -> dict[str, _Field] | None:
        """The members, whatever they are called."""
        if not isinstance(self.node.value, dict):
            self.wrong("write a mapping of attributes to values")
            return None
        return dict(self._members())

    def _members(self) -> Iterable[tuple[str, _Field]]:
        assert isinstance(self.node.value, dict)
        for name, node in self.node.value.items():
            if node.value is not None:
                path = f"{self.name}.{name}" if self.name else name
                yield name, _Field(node, path, self._faults)

    def _unknown(self, name: str, known: tuple[str, ...]) -> None:
        near = difflib.get_close_matches(name, known, 1, 0.5)
        meant = f"did you mean {near[0]}?" if near else f"the fields here are {_listed(known)}"
        path = f"{self.name}.{name}" if self.name else name
        self._faults.append(
            Fault(self.node.lines.get(name, self.line), path, f"unknown field; {meant}")
        )

    def items(self, most: int, what: str) -> list[_Field]:
        """The items of a list."""
        if not isinstance(self.node.value, list):
            self.wrong(f"write a list of {what}")
            return []
        if len(self.node.value) > most:
            self.wrong(f"{len(self.node.value)} {what}: at most {most}")
            return []
        return [
            _Field(node, f"{self.name}[{number}]", self._faults, node.line or self.line)
            for number, node in enumerate(self.node.value)
        ]

    def is_scalar(self) -> bool:
        return not isinstance(self.node.value, list | dict)

    def text(self, what: str = "a text", most: int = MAX_TEXT) -> str | None:
        value = self.node.value
        if isinstance(value, bool):
            value = str(value).lower()
        elif isinstance(value, int | float):
            value = str(value)
        if not isinstance(value, str) or not value.strip():
            self.wrong(f"write {what}")
            return None
        if len(value) > most:
            self.wrong(f"{len(value)} characters: at most {most}")
            return None
        return value

    def number(self, rule: str, holds: Callable[[float], bool]) -> float | None:
        value = self.node.value
        if isinstance(value, str) and not self.node.quoted and _NUMBER.fullmatch(value):
            value = float(value)
        if isinstance(value, bool) or not isinstance(value, int | float) or not holds(value):
            self.wrong(f"write a number {rule}")
            return None
        return float(value)


_NUMBER = re.compile(r"[+-]?(\d{1,30}\.?\d{0,30}|\.\d{1,30})([eE][+-]?\d{1,3})?", re.ASCII)


def _definitions(top: _Field) -> tuple[Definition, ...]:
    members = top.members("transactions")
    if members is None:
        return ()
    if "transactions" not in members:
        top.wrong("write a list of transactions: `transactions: [...]`")
        return ()
    found: list[Definition] = []
    seen: dict[tuple[str, str], _Field] = {}
    for field in members["transactions"].items(MAX_DEFINITIONS, "transactions"):
        definition = _definition(field)
        if definition is None:
            continue
        for what, value in (("name", definition.name), ("id", definition.id)):
            first = seen.setdefault((what, value), field)
            if first is not field:
                field.wrong(f"{first.name} has the {what} {value!r} already")
                break
        found.append(definition)
    return tuple(found)


def _definition(field: _Field) -> Definition | None:
    members = field.members("id", "name", "match", "key", "value", "user", "steps", "slo")
    if members is None:
        return None
    for required in ("name", "match"):
        if required not in members:
            field.wrong(f"has no {required}")
    name = _name(members["name"]) if "name" in members else None
    match = _match(members["match"]) if "match" in members else None
    parts: dict[str, Any] = {
        each: _sources(members[each]) for each in ("key", "value", "user") if each in members
    }
    if "steps" in members:
        parts["steps"] = _steps(members["steps"])
    if "slo" in members:
        parts["slo"] = _slo(members["slo"])
    given = _id(members["id"]) if "id" in members else None
    if name is None or match is None:
        return None
    return Definition(given or id_of(name), name, match, **parts)


def _id(field: _Field) -> str | None:
    id = field.text("an id")
    if id is not None and _AUTOMATIC.fullmatch(id):
        field.wrong("16 hexadecimal digits are the id of an automatic transaction")
    elif id is not None and not _is_free(id):
        field.wrong(f"write letters, digits, - and _, at most {MAX_ID}")
    return id


def _name(field: _Field) -> str | None:
    name = field.text("a name", MAX_NAME)
    if name is not None and not name.isprintable():
        field.wrong("a name has no control characters")
    return name


def _match(field: _Field) -> Match | None:
    members = field.members("service", "operation", "attr")
    if members is None:
        return None
    attributes: list[tuple[str, str]] = []
    if "attr" in members:
        pairs = members["attr"].all_members() or {}
        if not 0 < len(pairs) <= MAX_ATTRIBUTES:
            members["attr"].wrong(f"{len(pairs)} attributes: write 1 to {MAX_ATTRIBUTES}")
        for name, pair in pairs.items():
            value = pair.text("the attribute's value")
            if not 0 < len(name) <= MAX_NAME:
                pair.wrong(f"an attribute's name has 1 to {MAX_NAME} characters")
            attributes.append((name, value or ""))
    elif members.keys().isdisjoint(("service", "operation")):
        field.wrong("matches every span: name a service, an operation or an attr")
    names = {
        each: members[each].text(f"the {each}'s name")
        for each in ("service", "operation")
        if each in members
    }
    return Match(**names, attributes=tuple(attributes))


def _sources(field: _Field) -> tuple[Source, ...]:
    fields = (
        field.items(MAX_SOURCES, "attributes") if isinstance(field.node.value, list) else [field]
    )
    if not fields and not field.node.value:
        field.wrong("write at least one of the attributes")
    sources = [_source(each) for each in fields]
    return tuple(source for source in sources if source is not None)


def _source(field: _Field) -> Source | None:
    if field.is_scalar():
        name = field.text("an attribute's name, or {attr: …, pattern: …}")
        return None if name is None else Source(name)
    members = field.members("attr", "pattern")
    if members is None:
        return None
    if "attr" not in members:
        field.wrong("has no attr: the attribute's name")
        return None
    attribute = members["attr"].text("an attribute's name")
    pattern = members["pattern"].text("a pattern") if "pattern" in members else None
    if pattern is not None and pattern.count("{}") != 1:
        members["pattern"].wrong("write {} once, in the place of what is taken")
    return None if attribute is None else Source(attribute, pattern)


def _steps(field: _Field) -> tuple[Step, ...]:
    steps: dict[str, Step] = {}
    for each in field.items(MAX_STEPS, "steps"):
        step = _step(each)
        if step is not None and steps.setdefault(step.name, step) is not step:
            each.wrong(f"a step before it is called {step.name!r} too")
    return tuple(steps.values())


def _step(field: _Field) -> Step | None:
    if field.is_scalar():
        name = field.text("an operation, or {name: …, match: …}", MAX_NAME)
        return None if name is None else Step(name)
    members = field.members("name", "match")
    if members is None:
        return None
    if "name" not in members:
        field.wrong("has no name")
    name = members["name"].text("a name", MAX_NAME) if "name" in members else None
    match = _match(members["match"]) if "match" in members else None
    return None if name is None else Step(name, match)


def _slo(field: _Field) -> Slo | None:
    members = field.members("objective", "latency_ms")
    if members is None:
        return None
    if "objective" not in members:
        field.wrong("has no objective: the share that should be good, such as 0.995")
    objective = latency = None
    if "objective" in members:
        objective = members["objective"].number("above 0 and below 1", lambda share: 0 < share < 1)
    if "latency_ms" in members:
        latency = members["latency_ms"].number(
            f"above 0 and at most {MAX_LATENCY_MS}", lambda ms: 0 < ms <= MAX_LATENCY_MS
        )
    return None if objective is None else Slo(objective, latency)


def _match_document(match: Match) -> dict[str, Any]:
    return _without_nothing(
        {
            "service": match.service,
            "operation": match.operation,
            "attr": dict(match.attributes),
        }
    )


def _source_document(sources: tuple[Source, ...]) -> Any:
    documents = [
        {"attr": each.attribute, "pattern": each.pattern} if each.pattern else each.attribute
        for each in sources
    ]
    return documents[0] if len(documents) == 1 else documents


def _step_document(step: Step) -> Any:
    if step.match is None:
        return step.name
    return {"name": step.name, "match": _match_document(step.match)}


def _slo_document(slo: Slo) -> dict[str, Any]:
    latency = slo.latency_ms
    if latency is not None and latency == int(latency):
        latency = int(latency)
    return _without_nothing({"latency_ms": latency, "objective": slo.objective})


def _without_nothing(members: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value not in (None, [], {})}


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:-1]) + f" and {names[-1]}" if len(names) > 1 else names[0]
