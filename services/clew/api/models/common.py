"""Types and objects that several pages of the API have."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from clew.api.reference import Model

Time = Annotated[
    str,
    Field(
        pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$",
        examples=["2026-11-22T10:00:00.000000001Z"],
    ),
]
Millis = Annotated[float, Field(ge=0, examples=[12.5])]
Count = Annotated[int, Field(ge=0)]
PerSecond = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
TraceId = Annotated[
    str,
    Field(
        description="Trace id, 32 lowercase hex digits.",
        examples=["5b8efff798038103d269b633813fc60c"],
    ),
]
SpanId = Annotated[
    str, Field(description="Span id, 16 lowercase hex digits.", examples=["eee19b7ec3c1b174"])
]
TransactionId = Annotated[
    str,
    Field(
        description="Stable id of the transaction.",
        pattern=r"^[A-Za-z0-9_-]+$",
        examples=["checkout"],
    ),
]
TransactionName = Annotated[
    str, Field(description="Name of the transaction.", examples=["storefront: POST /checkout"])
]
Attributes = Annotated[
    dict[str, str],
    Field(
        description="Attributes by key. Values are strings; arrays and maps are written as JSON.",
        examples=[{"http.route": "/checkout", "order.id": "o-17"}],
    ),
]
Level = Annotated[
    Literal["", "trace", "debug", "info", "warn", "error", "fatal"],
    Field(
        description="Severity on one scale: the number's band, else what the text says; empty if "
        "neither says it."
    ),
]
Service = Annotated[
    str, Field(description="Name of the service (`service.name`).", examples=["storefront"])
]
Services = Annotated[
    list[str],
    Field(description="Names of the services, sorted.", examples=[["orders", "storefront"]]),
]
Operation = Annotated[
    str, Field(description="Name of the operation: the span's name.", examples=["POST /checkout"])
]
Kind = Annotated[str, Field(description="Kind of the span.", examples=["Server"])]
Cursor = Annotated[
    str | None,
    Field(description="Send it as `cursor` for the next page; null on the last page."),
]
SettledUntil = Annotated[
    str | None,
    Field(
        description="What was stored up to this time is in the parts of the response that rest on "
        "settled traces, with the time as RFC 3339; null if nothing was settled yet.",
        examples=["2026-11-22T10:00:00.000000000Z"],
    ),
]


class StoredResponse(Model):
    """A response that is computed from nothing that senders send."""

    truncated: bool
    """Whether the response leaves out a part of what was asked for, because of a limit. Further
    pages do not count as left out."""
    sql: list[str] = Field(default_factory=list)
    """With `explain=true`: the statements that produced the response, ready to be run again."""


class Response(StoredResponse):
    pending: Count | None
    """Items (spans, log records, data points) that were received before the request and were not
    stored when it was answered; null where the API cannot know, as in `clew serve`."""


class WindowResponse(Response):
    start: Time
    """Start of the window, part of it."""
    end: Time
    """End of the window, not part of it."""


class Durations(Model):
    """Quantiles of durations, in milliseconds. Each is within 1 % of the exact value; null when
    nothing was counted."""

    p50: Millis | None
    """Median, in milliseconds."""
    p90: Millis | None
    """90th percentile, in milliseconds."""
    p95: Millis | None
    """95th percentile, in milliseconds."""
    p99: Millis | None
    """99th percentile, in milliseconds."""
    max: Millis | None
    """Longest duration, in milliseconds."""


class MedianAndP95(Model):
    """Quantiles of durations, in milliseconds; null when nothing was counted."""

    p50: Millis | None
    """Median, in milliseconds."""
    p95: Millis | None
    """95th percentile, in milliseconds."""


class LinkedLog(Model):
    """A log record that is linked to a trace or a transaction."""

    time: Time
    """Time of the record."""
    severity: str = Field(examples=["ERROR"])
    """Severity as text; the level's name if the record has none."""
    level: Level
    event_name: str = Field(examples=["device.app.lifecycle"])
    """Name of the event that the record is; empty if it is none."""
    service: Service
    body: str
    """Body of the record; arrays and maps as JSON."""
    attributes: Attributes
    trace_id: str = Field(examples=["5b8efff798038103d269b633813fc60c"])
    """Trace id of the record; empty if it has none."""
    span_id: str = Field(examples=["eee19b7ec3c1b174"])
    """Span id of the record; empty if it has none."""
    linked_by: Literal["trace", "resource"]
    """Why the record is shown. `trace`: it has the trace's id. `resource`: it has no trace id, and
    comes from a process of the trace in the same time."""


class MetricPoint(Model):
    time: Time
    """Time of the point, or start of its step."""
    value: float | None
    """Value of the point; null if it is not a finite number."""


class LinkedMetric(Model):
    """A series of a metric that is linked to a trace or a transaction."""

    name: str = Field(examples=["process.cpu.utilization"])
    """Name of the metric."""
    unit: str = Field(examples=["1"])
    """Unit of the metric, as it was sent."""
    service: Service
    resource: str
    """The process: `service.instance.id`."""
    attributes: Attributes
    linked_by: Literal["exemplar", "attribute", "resource"]
    """Why the series is shown; of several reasons the first. `exemplar`: an exemplar has the
    trace's id. `attribute`: it has an attribute of the transaction. `resource`: it comes from a
    process or a host of the trace in the same time."""
    points: list[MetricPoint]
    """A gauge's values, a monotonic sum's rates per second, a histogram's 95th percentiles."""
    correlation: Annotated[float, Field(ge=-1.001, le=1.001)] | None
    """Pearson's correlation with the transaction's p95, from -1 to 1; null if there are too few
    points or no change."""
