"""The spans of a trace as rules read them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby, pairwise
from typing import NamedTuple

from clew.analysis import queries
from clew.analysis.findings.shapes import reads_only, statement_shape, url_shape
from clew.analysis.texts import code_place
from clew.analysis.traces.paths import CLIENT, CODES, CONSUMER, SERVER, SpanColumns

MAX_ANCESTORS = 100
STATEMENT = ("db.query.text", "db.statement")
NAMED_STATEMENT = ("db.query.summary", "db.operation.name", "db.operation")
SYSTEM = ("db.system.name", "db.system")
NAMESPACE = ("db.namespace", "db.name")
COLLECTION = ("db.collection.name", "db.sql.table")
METHOD = ("http.request.method", "http.method")
URL = ("url.full", "http.url")
PATH = ("url.path", "http.target", "http.route")
HOST = ("server.address", "net.peer.name", "http.host")
PEER = ("service.peer.name", "peer.service")
STATUS = ("http.response.status_code", "http.status_code")
SIZES = (
    *("http.response.body.size", "http.response_content_length"),
    *("http.request.body.size", "http.request_content_length"),
)
PLACE = ("code.function.name", "code.function")
FILE, LINE = ("code.file.path", "code.filepath"), ("code.line.number", "code.lineno")
RESENT = ("http.request.resend_count",)
# The attributes that are read.
NAMES = tuple(
    name
    for names in (
        *(
            STATEMENT,
            NAMED_STATEMENT,
            SYSTEM,
            NAMESPACE,
            COLLECTION,
            METHOD,
            URL,
            PATH,
            HOST,
            STATUS,
            SIZES,
            PLACE,
        ),
        *(FILE, LINE, RESENT, PEER),
    )
    for name in names
)
READS = ("GET", "HEAD", "OPTIONS")


class Shape(NamedTuple):
    """What the calls of one kind have in common. `kind`: database or request."""

    kind: str
    text: str


@dataclass(frozen=True)
class TreeSpan:
    """A span; times in nanoseconds since 1970. `callee`: the service that answers a call, if it
    sent a span; it may have many hosts."""

    row: int
    service: str
    name: str
    code: int
    start: int
    end: int
    is_error: bool
    scope: str
    instance: str
    attributes: Mapping[str, str]
    callee: str = ""
    language: str = ""

    @property
    def duration(self) -> int:
        return self.end - self.start

    def text(self, names: Sequence[str]) -> str:
        """The first of these attributes that is not empty."""
        return next((self.attributes[name] for name in names if self.attributes.get(name)), "")

    @cached_property
    def statement(self) -> str:
        """The statement's text or summary; empty unless the span calls a database."""
        if self.code != CLIENT or not self.text(SYSTEM):
            return ""
        collection = self.text(COLLECTION)
        summary = self.text(NAMED_STATEMENT)
        if collection and collection not in summary:
            summary = f"{summary} {collection}"
        return self.text(STATEMENT) or summary

    @cached_property
    def shape(self) -> Shape | None:
        """The statement or the request without what differs; None if the span is no call."""
        if self.statement:
            return Shape("database", statement_shape(self.statement))
        if self.code == CLIENT and (method := self.text(METHOD)):
            url = self.text(URL)
            where = url_shape(url, self.callee) if url else self.callee or self.text(HOST)
            return Shape("request", f"{method} {where}") if where else None
        return None

    def reaches(self, target: str) -> bool:
        """Whether it calls what settled traces call so (`Call.Target`), as far as the span says."""
        if self.callee:
            return self.callee == target
        if system := self.text(SYSTEM):
            return target.split("/")[0] in (system, "database")
        host = self.text(PEER) or self.text(HOST).split(":")[0]
        return not host or not target or host == target

    @property
    def summary(self) -> str:
        """What settled traces call the statement (`Call.Summary`)."""
        words = self.text(("db.operation.name", "db.operation")), self.text(COLLECTION)
        text = self.attributes.get("db.query.summary") or " ".join(filter(None, words))
        return (text or self.name)[:200]

    @property
    def is_read(self) -> bool:
        """Whether a call changes nothing."""
        return reads_only(self.statement) if self.statement else self.text(METHOD) in READS

    @property
    def status(self) -> int:
        """The HTTP status; 0 without one."""
        text = self.text(STATUS)
        return int(text) if text.isascii() and text.isdigit() else 0


class TraceTree:
    """The spans of one trace, the first of those with one id, by their starts."""

    def __init__(self, trace_id: str, rows: Iterable[queries.FindingSpansRow]) -> None:
        unique = {row["id"]: row for row in reversed(list(rows))}
        ordered = sorted(unique.values(), key=lambda row: (row["start"], row["id"]))
        callees = {
            row["parent"]: row["service"]
            for row in ordered
            if row["parent"] in unique and unique[row["parent"]]["service"] != row["service"]
        }
        self.trace_id = trace_id
        self.columns = SpanColumns.from_columns(
            [row["id"] for row in ordered],
            [row["parent"] for row in ordered],
            [row["start"] for row in ordered],
            [max(row["start"], row["end"]) for row in ordered],
            [CODES.get(row["kind"], 0) for row in ordered],
        )
        self.spans = [
            TreeSpan(
                number, row["service"], row["name"], self.columns.codes[number],
                self.columns.starts[number], self.columns.ends[number], row["is_error"],
                row["scope"], row["instance"], row["attributes"], callees.get(row["id"], ""),
                row["language"],
            )
            for number, row in enumerate(ordered)
        ]  # fmt: skip

    @property
    def entry(self) -> TreeSpan:
        """The span by which the trace came in."""
        return self.spans[self.columns.entry]

    @property
    def is_request(self) -> bool:
        """Whether the trace serves a request or a message, and is no job of its own."""
        return self.entry.code in (SERVER, CONSUMER)

    @cached_property
    def critical(self) -> frozenset[int]:
        """The rows of the spans on the critical path."""
        return frozenset(self.columns.critical_segments(self.columns.entry))

    @cached_property
    def own_times(self) -> Sequence[int]:
        """By row, the nanoseconds in which no child of the span ran."""
        return [times.self_ns for times in self.columns.times(self.columns.entry)]

    def waiting(self, span: TreeSpan) -> int:
        """The nanoseconds until the first child of the span began; 0 without one."""
        children = self.children(span)
        return max(0, children[0].start - span.start) if children else 0

    def parent(self, span: TreeSpan) -> TreeSpan | None:
        row = self.columns.parents[span.row]
        return self.spans[row] if row >= 0 else None

    def children(self, span: TreeSpan) -> list[TreeSpan]:
        """The children of a span, by their starts."""
        children = []
        row = self.columns.first_children[span.row]
        while row >= 0:
            children.append(self.spans[row])
            row = self.columns.next_siblings[row]
        return children

    def families(self) -> Iterator[tuple[TreeSpan, list[TreeSpan]]]:
        """Each span that has children, with them."""
        for span in self.spans:
            if children := self.children(span):
                yield span, children

    def repeated_calls(self, least: int) -> Iterator[tuple[TreeSpan, Shape, list[TreeSpan]]]:
        """Calls of one shape under one parent, so many or more of them."""
        for parent, children in self.families():
            calls = [(child.shape, child) for child in children if child.shape is not None]
            calls.sort(key=lambda call: (call[0], call[1].row))
            for shape, group in groupby(calls, key=lambda call: call[0]):
                alike = [child for _, child in group]
                if len(alike) >= least:
                    yield parent, shape, alike

    def waited(self, spans: Iterable[TreeSpan]) -> int:
        """The nanoseconds in which one of these spans ran that are on the critical path."""
        total, reached = 0, 0
        for span in sorted(spans, key=lambda span: span.start):
            if span.row in self.critical and span.end > reached:
                total += span.end - max(span.start, reached)
                reached = span.end
        return total

    def ancestors(self, span: TreeSpan) -> Iterator[TreeSpan]:
        """The span, its parent, and so on."""
        above: TreeSpan | None = span
        for _ in range(MAX_ANCESTORS):
            if above is None:
                return
            yield above
            above = self.parent(above)

    def server(self, span: TreeSpan) -> TreeSpan:
        """What the span's service was asked to do: the nearest SERVER or CONSUMER span above, or
        else the highest span of the service."""
        highest = span
        for above in self.ancestors(span):
            if above.service != span.service:
                break
            highest = above
            if above.code in (SERVER, CONSUMER):
                break
        return highest

    def place(self, span: TreeSpan) -> str:
        """Where in the code of the service: as the span, or one above it, says."""
        for above in self.ancestors(span):
            if above.service != span.service:
                break
            if place := code_place(above.text(PLACE), above.text(FILE), above.text(LINE)):
                return place
        return ""


def is_sequential(spans: Sequence[TreeSpan]) -> bool:
    """Whether no two of the spans ran at the same time."""
    return all(later.start >= earlier.end for earlier, later in pairwise(spans))
