"""What every item must have: valid ids and times. Checked without a loop over the items.

OTLP's rule for ids: a trace id has 16 bytes, a span id 8, not all of them zero. A span without a
valid trace id and span id is rejected; so is a span or data point with an id of another length in a
link, an exemplar or as its parent. A log record is stored without its invalid ids, as OTLP asks:
receivers should treat it as belonging to no span. A missing time is set (see `fill_times`).

Checking the ids of a span in Python costs 0.3 µs; parsing the span, with 10 attributes, 0.5 µs. So
all ids of a request are checked together. In a variant of OTLP's messages only ids and times are
repeated. Where protobuf finds several messages and only one is declared, it merges them: the whole
request becomes one span whose `trace_id` lists those of all spans. When that is serialized, ids of
the right length and times stand at equal distances: slices compare their tags and lengths, and a
search finds zeros. A missing id or time is one less than there are items. (A span in which one
field occurs twice can hide that another one misses it.) Merging also saves protobuf the creation of
messages, which is worth more than that, and it checks the bytes as strictly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

from google.protobuf.message import Message

from clew.collector.descriptors import Field, derive_message

LENGTHS = {"trace_id": 16, "span_id": 8, "parent_span_id": 8}
POINT_KINDS = ("gauge", "sum", "histogram", "exponential_histogram", "summary")
TIMES = {
    "Span": ("start_time_unix_nano", "end_time_unix_nano"),
    "LogRecord": ("time_unix_nano", "observed_time_unix_nano"),
    "NumberDataPoint": ("time_unix_nano",),
    "HistogramDataPoint": ("time_unix_nano",),
    "ExponentialHistogramDataPoint": ("time_unix_nano",),
    "SummaryDataPoint": ("time_unix_nano",),
}
REQUIRED = ("trace_id", "span_id", *TIMES["Span"])  # of a span

TRACE_ID = "trace_id must be 16 bytes long and not zero"
SPAN_ID = "span_id must be 8 bytes long and not zero"
RULES = {
    "invalid_trace_id": TRACE_ID,
    "invalid_span_id": SPAN_ID,
    "invalid_parent_span_id": "parent_span_id must be 8 bytes long",
    "invalid_link": "a link's trace_id must be 16 bytes long, its span_id 8",
    "invalid_exemplar": "an exemplar's trace_id must be 16 bytes long, its span_id 8",
}

Counts = dict[str, int]  # how many items have the field


def merged_message(request: type[Message]) -> type[Message]:
    """The variant of an export request in which only ids and times are repeated."""
    return derive_message(request.DESCRIPTOR.full_name, _declare_merged)


def all_valid(signal: str, merged: Any, items: int) -> bool:
    """Whether the `items` items of a request have valid ids and times. `merged` is the request
    parsed as `merged_message`; its fields are cleared."""
    return VALID[signal](merged, items)


def fault(item: Any) -> str | None:
    """Why a span, log record or data point cannot be stored: a key of RULES; None if it can."""
    match item.DESCRIPTOR.name:
        case "Span":
            return _span_fault(item)
        case "LogRecord" | "SummaryDataPoint":
            return None
        case _:
            return "invalid_exemplar" if _any_wrong_length(item.exemplars) else None


def clear_ids(item: Any) -> bool:
    """Clear the ids of a log record if one of them is invalid; returns whether it was."""
    if item.DESCRIPTOR.name != "LogRecord" or _wrong_length(item) is None:
        return False
    item.ClearField("trace_id")
    item.ClearField("span_id")
    return True


def fill_times(item: Any, received_at: int) -> bool:
    """Set the times that an item must have and does not; returns whether any was set.

    A span without a start gets its end, one without an end its start. A log record needs one of its
    two times. What has no time at all gets `received_at`, in nanoseconds since 1970."""
    names = TIMES[item.DESCRIPTOR.name]
    times = [getattr(item, name) for name in names]
    if all(times) or (item.DESCRIPTOR.name == "LogRecord" and any(times)):
        return False
    time = next(filter(None, times), received_at)
    for name in names:
        if not getattr(item, name):
            setattr(item, name, time)
    return True


def _declare_merged(file: Any) -> None:
    for message in file.message_type:
        _declare_fields_merged(message)


def _declare_fields_merged(message: Any) -> None:
    for nested in message.nested_type:
        _declare_fields_merged(nested)
    for field in message.field:
        # Of a `oneof`, such as a metric's kind, only the last member would remain.
        field.ClearField("oneof_index")
        field.ClearField("proto3_optional")
        if field.name in LENGTHS or field.name in TIMES.get(message.name, ()):
            field.label = Field.LABEL_REPEATED
        elif field.type == Field.TYPE_MESSAGE:
            field.label = Field.LABEL_OPTIONAL
    del message.oneof_decl[:]


def _spans_valid(merged: Any, items: int) -> bool:
    spans = merged.resource_spans.scope_spans.spans
    if spans.HasField("links") and _counts(spans.links) is None:
        return False
    counts = _counts(spans)
    return counts is not None and [counts[name] for name in REQUIRED] == [items] * len(REQUIRED)


def _records_valid(merged: Any, items: int) -> bool:
    counts = _counts(merged.resource_logs.scope_logs.log_records)
    return counts is not None and items in (counts[name] for name in TIMES["LogRecord"])


def _points_valid(merged: Any, items: int) -> bool:
    metrics = merged.resource_metrics.scope_metrics.metrics
    times = 0
    for kind in filter(metrics.HasField, POINT_KINDS):
        points = getattr(metrics, kind).data_points
        if kind != "summary" and points.HasField("exemplars") and _counts(points.exemplars) is None:
            return False
        counts = _counts(points)
        times += counts["time_unix_nano"] if counts else 0
    return times == items


VALID: dict[str, Callable[[Any, int], bool]] = {
    "traces": _spans_valid,
    "logs": _records_valid,
    "metrics": _points_valid,
}


def _counts(merged: Any) -> Counts | None:
    """How many ids and times a merged message has in each field, without those that are empty or
    zero; None if an id has an invalid length. Clears its other fields."""
    fields, other_fields = _fields(merged.DESCRIPTOR)
    for name in other_fields:
        merged.ClearField(name)
    encoded = merged.SerializeToString()
    counts: Counts = {}
    start = 0
    for name, head, zero in fields:
        counts[name] = count = len(getattr(merged, name))
        step = len(zero)
        if head:
            end = start + count * step
            if (
                encoded[start:end:step] != head[:1] * count
                or encoded[start + 1 : end : step] != head[1:] * count
            ):
                return _counts_one_by_one(merged)
        else:  # times, one after the other; before them a tag, and their length as a varint
            start += count and 1 + ((count * step).bit_length() + 6) // 7
            end = start + count * step
        if encoded.find(zero, start, end) != -1:
            return _counts_one_by_one(merged)
        start = end
    return counts if start == len(encoded) else _counts_one_by_one(merged)


def _counts_one_by_one(merged: Any) -> Counts | None:
    # Some clients send empty ids, zeros as ids and zeros as times explicitly.
    counts: Counts = {}
    for name, _, _ in _fields(merged.DESCRIPTOR)[0]:
        values = getattr(merged, name)
        if name not in LENGTHS:
            counts[name] = sum(map(bool, values))
        elif set(map(len, values)) <= {0, LENGTHS[name]}:
            counts[name] = sum(map(any, values))
        else:
            return None
    return counts


@cache
def _fields(descriptor: Any) -> tuple[list[tuple[str, bytes, bytes]], list[str]]:
    """The fields of ids and times in the order in which they are encoded, each as its name, the
    tag and length before every id, and these with an id or time of zeros; and the names of the
    other fields."""
    times = TIMES.get(descriptor.name, ())
    fields = []
    for field in sorted(descriptor.fields, key=lambda field: field.number):
        if field.name in LENGTHS:
            length = LENGTHS[field.name]
            head = bytes([field.number << 3 | 2, length])
            fields.append((field.name, head, head + bytes(length)))
        elif field.name in times:
            fields.append((field.name, b"", bytes(8)))
    names = {name for name, _, _ in fields}
    return fields, [field.name for field in descriptor.fields if field.name not in names]


def _span_fault(span: Any) -> str | None:
    if reason := _wrong_length(span):
        return reason
    if not any(span.trace_id):
        return "invalid_trace_id"
    if not any(span.span_id):
        return "invalid_span_id"
    return "invalid_link" if _any_wrong_length(span.links) else None


def _any_wrong_length(holders: Iterable[Any]) -> bool:
    return any(_wrong_length(holder) is not None for holder in holders)


def _wrong_length(holder: Any) -> str | None:
    for field, value in holder.ListFields():
        if field.name in LENGTHS and len(value) != LENGTHS[field.name]:
            return f"invalid_{field.name}"
    return None
