"""What a span reaches, by its attributes: queries/settling/settle_spans.sql says the same in SQL.

`type` and `target` are what is reached, by today's and older conventions, and `summary` is what the
span does there, where the attributes say it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from clew.analysis.traces.paths import CLIENT, CONSUMER

# What a span's attributes name as its target: an external host, a database, a queue that it sends
# to, a queue that it consumes from.
NOTHING, EXTERNAL, DATABASE, QUEUE, CONSUMED = range(5)

DATABASE_SYSTEM = ("db.system.name", "db.system", "db.type")
DATABASE_NAME = ("db.namespace", "db.name", "db.instance")
DATABASE_OPERATION = ("db.operation.name", "db.operation")
DATABASE_TABLE = ("db.collection.name", "db.sql.table")
QUEUE_NAME = (
    "messaging.destination.name",
    "messaging.destination",
    "messaging.source.name",
    "message_bus.destination",
)
QUEUE_OPERATION = ("messaging.operation.type", "messaging.operation")
PEER = ("service.peer.name", "peer.service", "server.address", "net.peer.name")
PEER_URL = ("http.host", "url.full", "http.url")  # whose domain counts
PEER_FALLBACK = (
    "network.peer.address",
    "net.peer.ip",
    "faas.invoked_name",
    "gen_ai.provider.name",
    "rpc.system.name",
    "rpc.system",
)
# The attributes that name targets; of some of them it only counts whether they are there.
BARE_NAMES = ("db.query.text", "db.statement")
DATABASE_MARKS = (*BARE_NAMES, "db.collection.name")
NAMES = (
    *(*DATABASE_SYSTEM, *DATABASE_NAME, *DATABASE_OPERATION, *DATABASE_TABLE, "db.query.summary"),
    *("messaging.system", *QUEUE_NAME, *QUEUE_OPERATION),
    *(*PEER, *PEER_URL, "rpc.service", "rpc.method", *PEER_FALLBACK, *BARE_NAMES),
)


class Target(NamedTuple):
    """What a span reaches; empty texts for nothing."""

    type: int
    target: str
    summary: str


NO_TARGET = Target(NOTHING, "", "")


def target_of(code: int, attributes: Mapping[str, str], domains: Mapping[str, str]) -> Target:
    """The target of a span of the kind `code`, see TimedSpan.code. `domains`: by name, the domains
    in the attributes' values."""

    def first(names: tuple[str, ...]) -> str:
        return next((text for name in names if (text := attributes.get(name, ""))), "")

    if code < CLIENT:
        return NO_TARGET
    system, name = first(DATABASE_SYSTEM), first(DATABASE_NAME)
    if code != CONSUMER and (system or name or not attributes.keys().isdisjoint(DATABASE_MARKS)):
        operation = f"{first(DATABASE_OPERATION)} {first(DATABASE_TABLE)}".strip(" ")
        return Target(
            DATABASE,
            _joined(system, name) or _peer(attributes, domains) or "database",
            attributes.get("db.query.summary") or operation,
        )
    system, name = attributes.get("messaging.system", ""), first(QUEUE_NAME)
    if system or name:
        consumes = code == CONSUMER or first(QUEUE_OPERATION) in ("receive", "process")
        return Target(CONSUMED if consumes else QUEUE, _joined(system, name), "")
    if code == CONSUMER:
        return NO_TARGET
    return Target(EXTERNAL, _peer(attributes, domains), "")


def _joined(system: str, name: str) -> str:
    return f"{system}/{name}" if system and name else system or name


def _peer(attributes: Mapping[str, str], domains: Mapping[str, str]) -> str:
    method = attributes.get("rpc.method", "").split("/")
    candidates = (
        *(attributes.get(name) for name in PEER),
        *(domains.get(name) for name in PEER_URL),
        attributes.get("rpc.service"),
        method[-2] if len(method) > 1 else "",
        *(attributes.get(name) for name in PEER_FALLBACK),
    )
    return next((text for text in candidates if text), "")
