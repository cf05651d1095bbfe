"""What clew's agents need of the definitions: which parts of which requests they take as business
context. `GET /v1/clew/rules` answers with this document:

    {"version": 1, "rules": [
        {"transaction": "Checkout", "begins": true, "service": "storefront", "method": "POST",
         "route": "/checkout", "take": [{"as": "business.key", "header": "X-Order-Id"}]}]}

`begins`: the requests are those that the transaction's match names. Empty texts match everything.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from clew.analysis.transactions.definitions import Definition
from clew.analysis.transactions.registry import Revision
from clew.analysis.transactions.sources import RequestMatch, RequestSource

VERSION = 1


def rules_document(definitions: Iterable[Definition]) -> dict[str, Any]:
    """The rules of the definitions that take anything from requests, in their order."""
    rules = [rule for definition in definitions for rule in _rules(definition)]
    return {"version": VERSION, "rules": rules}


class RulesAnswer:
    """The document of the revision in force as bytes, with an ETag that changes with it alone."""

    def __init__(self, current: Callable[[], Revision]) -> None:
        self._current = current
        self._written: tuple[Revision, bytes, str] | None = None

    def __call__(self) -> tuple[bytes, str]:
        """The document and its ETag. May read the database."""
        revision = self._current()
        written = self._written
        if written is None or written[0] is not revision:
            document = rules_document(revision.definitions)
            text = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
            etag = f'"{hashlib.sha256(text).hexdigest()[:32]}"'
            self._written = written = revision, text, etag
        return written[1:]


def _rules(definition: Definition) -> Iterator[dict[str, Any]]:
    """One rule for each kind of requests, first that with which the transaction begins."""
    parts_by_match: dict[RequestMatch | None, list[dict[str, str]]] = {}
    for attribute, sources in definition.request_sources.items():
        for source in sources:
            parts_by_match.setdefault(source.at, []).append(_take(attribute, source))
    if not parts_by_match:
        return
    if definition.matches_requests:
        match = definition.match
        yield _rule(
            definition.name, match.service, match.operation, parts_by_match.pop(None, []), True
        )
    for at, parts in parts_by_match.items():
        if at is not None:
            yield _rule(definition.name, at.service, at.operation, parts, False)


def _take(attribute: str, source: RequestSource) -> dict[str, str]:
    return {"as": attribute, source.part: source.name}


def _rule(
    transaction: str,
    service: str | None,
    operation: str | None,
    take: list[dict[str, str]],
    begins: bool,
) -> dict[str, Any]:
    method, _, route = (operation or "").partition(" ")
    return {
        "transaction": transaction,
        "begins": begins,
        "service": service or "",
        "method": method,
        "route": route,
        "take": take,
    }
