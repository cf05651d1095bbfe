"""Definitions of business transactions: which spans a transaction begins with, what tells its
occurrences apart, what they are worth, which steps they take, and how good they must be.

docs/definitions.md describes every field for users; `json_schema` describes them for editors.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, ConfigDict, Field, PlainSerializer, model_validator

from clew.analysis import documents
from clew.analysis.documents import (
    UNQUOTED,
    Distinct,
    EditorSchema,
    Fields,
    Form,
    Name,
    Text,
)
from clew.analysis.transactions import sources
from clew.analysis.transactions.sources import (
    AttributeSource,
    RequestSource,
    RequestSources,
    Sources,
    attribute_sources,
    is_request_operation,
    request_sources,
)

MAX_DEFINITIONS = 200
MAX_STEPS = 50
MAX_ATTRIBUTES = 20
MAX_KPIS = 20
MAX_LATENCY_MS = 30 * 86_400_000
MAX_ID = 64

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_AUTOMATIC_ID = re.compile(r"[0-9a-fA-F]{16}", re.ASCII)


def id_of(name: str) -> str:
    """The id of a definition that has none: the name's letters and digits, in lower-case ASCII.
    A hash of the name follows where that loses letters, is too long, or has the form of an
    automatic transaction's id."""
    decomposed = unicodedata.normalize("NFKD", name)
    plain = "".join(letter for letter in decomposed if not unicodedata.combining(letter))
    slug = re.sub(r"[^a-z0-9]+", "-", plain.lower().encode("ascii", "replace").decode()).strip("-")
    loses_letters = any(letter.isalnum() and not letter.isascii() for letter in plain)
    if _ID.fullmatch(slug) and not _AUTOMATIC_ID.fullmatch(slug) and not loses_letters:
        return slug
    digest = hashlib.sha256(name.encode()).hexdigest()[:10]
    return f"{slug[: MAX_ID - 11].strip('-') or 'transaction'}-{digest}"


def _valid_id(id: str) -> str:
    if _AUTOMATIC_ID.fullmatch(id):
        raise ValueError("16 hexadecimal digits are the id of an automatic transaction")
    if not _ID.fullmatch(id):
        raise ValueError(f"write letters, digits, - and _, at most {MAX_ID}")
    return id


def _printable(name: str) -> str:
    if not name.isprintable():
        raise ValueError("write a name without control characters")
    return name


AttributeName = Annotated[str, Field(min_length=1, max_length=200)]
DefinitionId = Annotated[
    Text,
    Field(json_schema_extra={"pattern": f"^(?![0-9a-fA-F]{{16}}$)[A-Za-z0-9_-]{{1,{MAX_ID}}}$"}),
    AfterValidator(_valid_id),
]
Latency = Annotated[
    float,
    Field(gt=0, le=MAX_LATENCY_MS, strict=True),
    UNQUOTED,
    PlainSerializer(lambda latency: latency if latency % 1 else int(latency)),
]


class Match(Fields):
    """Which spans: every field that is given must match."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    service: Text | None = None
    """The span's service.name."""
    operation: Text | None = None
    """The span's name."""
    attr: Annotated[dict[AttributeName, Text], Field(min_length=1, max_length=MAX_ATTRIBUTES)] = (
        Field(default={})
    )
    """Attributes and their values: of the span, or else of its resource."""

    @model_validator(mode="after")
    def _not_empty(self) -> Match:
        if not (self.service or self.operation or self.attr):
            raise ValueError("matches every span: name a service, an operation or an attr")
        return self


class TransactionStep(Fields):
    """A step of a transaction. A name alone is an operation of the entry's service."""

    shorthand = "name"

    name: Name
    """The step's name. Without a match, it is an operation's name."""
    match: Match | None = None
    """The spans that reach the step."""


class Slo(Fields):
    """The service level objective: how many occurrences must be good."""

    latency_ms: Latency | None = None
    """A good occurrence takes at most so many milliseconds; without it, it only has no error."""
    objective: Annotated[float, Field(gt=0, lt=1, strict=True), UNQUOTED]
    """The share of occurrences that must be good, such as 0.995."""


KpiAggregation = Literal["avg", "sum", "min", "max", "count", "p50", "p90", "p95", "p99"]


class Kpi(Fields):
    """A number of the business: a metric, or the sum of an attribute."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["metric"]}, {"required": ["sum"]}]}
    )

    name: Annotated[Name, AfterValidator(_printable)]
    """What people call it."""
    metric: Text | None = None
    """The name of a metric."""
    sum: Text | None = None
    """An attribute of spans, whose numbers are summed: of those of the service and operation here,
    or else of the transaction's match."""
    service: Text | None = None
    """The service.name of the metric or of the spans."""
    operation: Text | None = None
    """The name of the spans."""
    aggregation: KpiAggregation | None = None
    """How a metric is combined over an hour; by default a counter's increase is summed, a level
    averaged."""

    @model_validator(mode="after")
    def _one_source(self) -> Kpi:
        if (self.metric is None) == (self.sum is None):
            raise ValueError("write either metric or sum")
        if self.metric is not None and self.operation is not None:
            raise ValueError("a metric has no operation: leave it out, or write sum")
        if self.sum is not None and self.aggregation is not None:
            raise ValueError("the aggregation is of a metric: leave it out")
        return self


class Definition(Fields):
    """A business transaction. Without a key, every trace is an occurrence of its own."""

    name: Annotated[Name, AfterValidator(_printable)]
    """The transaction's name."""
    id: DefinitionId = Field(default_factory=lambda fields: id_of(fields["name"]))
    """The transaction's id in addresses; made from the name if left out."""
    match: Match
    """The spans that an occurrence begins with."""
    key: Sources = ()
    """What tells occurrences apart: an attribute, or a part of a request; of several, the first
    that a trace has."""
    value: Sources = ()
    """The number that an occurrence is worth."""
    user: Sources = ()
    """What names the user."""
    transaction: RequestSources = ()
    """The part of a request that the agent sets as business.transaction in place of the name."""
    steps: Annotated[
        tuple[TransactionStep, ...], Field(max_length=MAX_STEPS), Distinct("name")
    ] = ()
    """The steps of an occurrence, in order."""
    slo: Slo | None = None
    """The service level objective."""
    kpi: Annotated[tuple[Kpi, ...], Field(max_length=MAX_KPIS), Distinct("name")] = ()
    """Numbers of the business that are compared with its latency and errors, hour by hour."""

    @property
    def key_attributes(self) -> tuple[AttributeSource, ...]:
        """Where stored rows have the key."""
        return attribute_sources(self.key, sources.KEY)

    @property
    def value_attributes(self) -> tuple[AttributeSource, ...]:
        """Where stored rows have the value."""
        return attribute_sources(self.value, sources.VALUE)

    @property
    def user_attributes(self) -> tuple[AttributeSource, ...]:
        """Where stored rows have the user."""
        return attribute_sources(self.user, sources.USER)

    @property
    def request_sources(self) -> dict[str, tuple[RequestSource, ...]]:
        """What the agent takes from requests, by the attribute that it sets."""
        listed = {
            sources.TRANSACTION: self.transaction,
            sources.KEY: self.key,
            sources.USER: self.user,
            sources.VALUE: self.value,
        }
        return {name: tuple(request_sources(part)) for name, part in listed.items()}

    @property
    def matches_requests(self) -> bool:
        """Whether a request shows that it matches, before the service has answered it."""
        operation = self.match.operation
        return not self.match.attr and (operation is None or is_request_operation(operation))

    @model_validator(mode="after")
    def _kpis_have_a_service(self) -> Definition:
        for kpi in self.kpi:
            if kpi.sum is not None and not (kpi.service or self.match.service):
                raise ValueError(f"kpi {kpi.name!r}: name the service whose spans have {kpi.sum!r}")
        return self

    @model_validator(mode="after")
    def _requests_can_be_told(self) -> Definition:
        if self.matches_requests:
            return self
        for listed in self.request_sources.values():
            for source in listed:
                if source.at is None:
                    raise ValueError(
                        f"no request shows whether it matches (by an attr, or an operation without "
                        f"a method): write {source.part}: {source.name} with at: {{service: …, "
                        "operation: …}"
                    )
        return self


class Definitions(Fields):
    """Definitions of business transactions."""

    transactions: Annotated[
        tuple[Definition, ...], Field(max_length=MAX_DEFINITIONS), Distinct("name", "id")
    ]
    """The business transactions."""


def read(text: bytes, form: Form = "yaml", source: str = "definitions") -> tuple[Definition, ...]:
    """Reads definitions from a text. Raises DocumentError, in which `source` names the text."""
    return documents.read(text, form, Definitions, source).transactions


def read_file(path: Path) -> tuple[Definition, ...]:
    """Reads definitions from a YAML file, or from a file that is named .json. Raises
    DocumentError."""
    return documents.read_file(path, Definitions).transactions


def write(definitions: Iterable[Definition]) -> str:
    """Writes definitions as YAML that `read` takes, without the ids that follow from names."""
    transactions = [definition.document for definition in definitions]
    for fields in transactions:
        if fields["id"] == id_of(fields["name"]):
            del fields["id"]
    document = {"transactions": transactions}
    return str(yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=100))


def json_schema() -> dict[str, Any]:
    """The JSON schema of a file with definitions, for editors."""
    schema = Definitions.model_json_schema(schema_generator=EditorSchema)
    return {"$schema": EditorSchema.schema_dialect} | schema
