"""Which parts of which requests are taken as business context: the rules that clew answers with at
/v1/clew/rules, made from the definitions of business transactions."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import wrapt

_log = logging.getLogger(__name__)

TRANSACTION = "business.transaction"
KEY = "business.key"
VALUE = "business.value"
USER = "user.id"
ATTRIBUTES = (TRANSACTION, KEY, VALUE, USER)
MAX_RULES = 2000
MAX_LENGTH = 256  # characters of a value

Part = Literal["header", "path", "query", "json"]
PARTS: tuple[Part, ...] = ("header", "path", "query", "json")
# Makes of a text what may be recorded: the text, or None where it holds a secret.
Censor = Callable[[str, str], str | None]

_PARAMETER = re.compile(r"\{[^{}]*\}|<[^<>]*>")


class Take(NamedTuple):
    """A part of a request, and the attribute that its value becomes. `pattern`: of a path, with one
    group; `fields`: of a JSON body, from the outermost."""

    attribute: str
    part: Part
    name: str
    pattern: re.Pattern[str] | None = None
    fields: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rule:
    """Requests of a transaction, and what is taken from them. `begins`: they are those with which
    it begins. An empty method, and None as the route, match everything."""

    transaction: str
    begins: bool
    method: str
    route: re.Pattern[str] | None
    take: tuple[Take, ...]

    def matches(self, paths: Sequence[str]) -> bool:
        """Whether one of the paths by which a request is known fits the route."""
        route = self.route
        return route is None or any(route.fullmatch(path) for path in paths)


@dataclass(frozen=True)
class RuleSet:
    """The rules of one service. `watches_bodies`: one of them takes a field of a JSON body."""

    rules: tuple[Rule, ...]
    censor: Censor = field(default=lambda _, text: text, compare=False)

    @property
    def watches_bodies(self) -> bool:
        return any(take.part == "json" for rule in self.rules for take in rule.take)

    def matching(self, method: str, paths: Sequence[str]) -> list[Rule]:
        """The rules for a request, in the order of the definitions."""
        return [rule for rule in self.rules if rule.method in ("", method) and rule.matches(paths)]


_current: RuleSet | None = None


def current() -> RuleSet | None:
    """The rules in force; None if there are none for this service."""
    return _current


def put_in_force(rules: RuleSet | None) -> None:
    """Replace the rules in force."""
    global _current
    _current = rules if rules is not None and rules.rules else None


def read(document: Any, service: str) -> RuleSet:
    """The rules of a document that are for this service. What a newer clew added is passed over.
    Raises ValueError for what is no document of rules."""
    if not isinstance(document, Mapping) or not isinstance(document.get("rules"), list):
        raise ValueError("this is no document of rules")
    rules = [
        rule
        for item in document["rules"][:MAX_RULES]
        if isinstance(item, Mapping) and item.get("service") in ("", None, service)
        if (rule := _rule(item)) is not None
    ]
    return RuleSet(tuple(rules))


def _rule(item: Mapping[str, Any]) -> Rule | None:
    transaction, method, route = (item.get(name, "") for name in ("transaction", "method", "route"))
    if not all(isinstance(text, str) for text in (transaction, method, route)) or not transaction:
        return None
    listed = item.get("take")
    take = tuple(_takes(listed)) if isinstance(listed, list) else ()
    begins = item.get("begins") is True
    return Rule(transaction[:MAX_LENGTH], begins, method, _route(route), take)


def _takes(items: list[Any]) -> Iterator[Take]:
    for item in items:
        if not isinstance(item, Mapping) or item.get("as") not in ATTRIBUTES:
            continue
        for part in PARTS:
            name = item.get(part)
            if not isinstance(name, str) or not name:
                continue
            if part == "path":
                before, _, after = name.partition("{}")
                pattern = re.compile(f"{re.escape(before)}([^/?#]+){re.escape(after)}")
                yield Take(item["as"], part, name, pattern)
            elif part == "json":
                yield Take(item["as"], part, name, fields=tuple(name.split(".")))
            else:
                yield Take(item["as"], part, name)


def _route(text: str) -> re.Pattern[str] | None:
    """The paths of a route as frameworks write it: /items/{id}, items/<int:number>, {rest:path}."""
    if not text:
        return None
    text = text if text.startswith("/") else f"/{text}"
    pattern, end = "", 0
    for parameter in _PARAMETER.finditer(text):
        name = parameter[0][1:-1]
        is_rest = name.endswith(":path") or name.startswith("path:")
        pattern += re.escape(text[end : parameter.start()]) + (".+" if is_rest else "[^/]+")
        end = parameter.end()
    return re.compile(pattern + re.escape(text[end:]))


def value_in(document: Any, fields: Sequence[str]) -> Any:
    """The value of a field of a JSON document; None where there is none. A number is the place in a
    list."""
    value = document
    for name in fields:
        if isinstance(value, Mapping):
            value = value.get(name)
        elif isinstance(value, list) and name.isdecimal() and int(name) < len(value):
            value = value[int(name)]
        else:
            return None
    return value


def text_of(value: Any) -> str:
    """A value as text of at most MAX_LENGTH characters; empty for what is no text or number."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    return str(value).strip()[:MAX_LENGTH]


def after_import(change: Callable[[Any], None], module: str) -> None:
    """Have `change` called with a module when it is imported; where that fails, the import goes
    on."""

    def guarded(imported: Any) -> None:
        try:
            change(imported)
        except Exception as error:
            complain(error)

    wrapt.register_post_import_hook(guarded, module)


_is_known: list[Exception] = []


def complain(error: Exception) -> None:
    """Log an error of ours, the first of them as a warning."""
    _log.log(
        logging.DEBUG if _is_known else logging.WARNING,
        "clew: business context is not taken as it should be: %r",
        error,
    )
    _is_known[:] = [error]
