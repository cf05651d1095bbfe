"""Where a transaction's key, value and user are found: in attributes of spans and log records, or
in entry requests, from which clew's agent takes them."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Discriminator, Field, Tag, model_validator

from clew.analysis.documents import Fields, OneOrMore, Text

MAX_SOURCES = 10

# The attributes that the agent sets from requests.
TRANSACTION = "business.transaction"
KEY = "business.key"
VALUE = "business.value"
USER = "user.id"

_OPERATION = re.compile(r"[A-Z]{3,20}( /?\S*)?", re.ASCII)

RequestPart = Literal["header", "path", "query", "json"]
PARTS: tuple[RequestPart, ...] = ("header", "path", "query", "json")


def is_request_operation(operation: str) -> bool:
    """Whether an operation is that of requests: a method, mostly with a route."""
    return _OPERATION.fullmatch(operation) is not None


def _one_place(pattern: str) -> str:
    if pattern.count("{}") != 1:
        raise ValueError("write {} once, in the place of the value")
    return pattern


def _request_operation(operation: str) -> str:
    if not is_request_operation(operation):
        raise ValueError("write a method and a route, such as POST /orders/{order_id}")
    return operation


def _header_name(name: str) -> str:
    if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
        raise ValueError("write the name of a header, such as X-Order-Id")
    return name


Pattern = Annotated[Text, Field(json_schema_extra={"pattern": r"\{\}"}), AfterValidator(_one_place)]
RequestOperation = Annotated[
    Text,
    Field(json_schema_extra={"pattern": f"^{_OPERATION.pattern}$"}),
    AfterValidator(_request_operation),
]
HeaderName = Annotated[Text, AfterValidator(_header_name)]


class AttributeSource(Fields):
    """Where a value is found: in an attribute, or in a part of its text."""

    shorthand = "attr"

    attr: Text
    """The attribute's name."""
    pattern: Pattern | None = None
    """The attribute's text, with {} in the place of the value, such as /orders/{}."""

    @property
    def expression(self) -> str:
        """The pattern as a regular expression of the whole text, with one group: the value; ''
        without a pattern."""
        if self.pattern is None:
            return ""
        before, _, after = self.pattern.partition("{}")
        return rf"^[\s\S]*?{re.escape(before)}([^/?#]+){re.escape(after)}[\s\S]*$"


class RequestMatch(Fields):
    """Which entry requests: every field that is given must match."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    service: Text | None = None
    """The service that gets the request: its service.name."""
    operation: RequestOperation | None = None
    """The request's method and route, such as POST /orders/{order_id}."""

    @model_validator(mode="after")
    def _not_empty(self) -> RequestMatch:
        if not (self.service or self.operation):
            raise ValueError("matches every request: name a service or an operation")
        return self


with warnings.catch_warnings():
    # `json` is also a deprecated method of pydantic's models.
    warnings.filterwarnings("ignore", 'Field name "json"', UserWarning)

    class RequestSource(Fields):
        """What the agent takes from an entry request: one of header, path, query and json."""

        model_config = ConfigDict(
            json_schema_extra={"oneOf": [{"required": [part]} for part in PARTS]}
        )

        header: HeaderName | None = None
        """The name of a header, such as X-Order-Id."""
        path: Pattern | None = None
        """A part of the path, with {} in the place of the value, such as /orders/{}."""
        query: Text | None = None
        """The name of a query parameter."""
        json: Text | None = None  # type: ignore[assignment]
        """A field of the JSON body, such as order.id; of a list's first item: items.0.id."""
        at: RequestMatch | None = None
        """The requests that have it; without it, those that the transaction's match names."""

        @property
        def part(self) -> RequestPart:
            """Which part of a request it is in."""
            return next(part for part in PARTS if getattr(self, part) is not None)

        @property
        def name(self) -> str:
            """What is written for the part: a name, a pattern or a path of fields."""
            return str(getattr(self, self.part))

        @model_validator(mode="after")
        def _one_part(self) -> RequestSource:
            if sum(getattr(self, part) is not None for part in PARTS) != 1:
                raise ValueError("write one of header, path, query and json")
            return self


def _kind(source: Any) -> str:
    if isinstance(source, RequestSource):
        return "request"
    names = {*PARTS, "at"}
    return "request" if isinstance(source, dict) and names & source.keys() else "attribute"


Source = Annotated[
    Annotated[AttributeSource, Tag("attribute")] | Annotated[RequestSource, Tag("request")],
    Discriminator(_kind),
]
Sources = Annotated[tuple[Source, ...], Field(min_length=1, max_length=MAX_SOURCES), OneOrMore()]
RequestSources = Annotated[
    tuple[RequestSource, ...], Field(min_length=1, max_length=MAX_SOURCES), OneOrMore()
]


def request_sources(
    sources: Iterable[AttributeSource | RequestSource],
) -> Iterator[RequestSource]:
    """Those that the agent takes from requests."""
    return (source for source in sources if isinstance(source, RequestSource))


def attribute_sources(
    sources: Iterable[AttributeSource | RequestSource], attribute: str
) -> tuple[AttributeSource, ...]:
    """Where stored rows have the values of sources. `attribute`: the one that the agent sets."""
    stored = AttributeSource(attr=attribute)
    return tuple(
        dict.fromkeys(stored if isinstance(source, RequestSource) else source for source in sources)
    )
