"""Which kinds of metrics a segment has, determined without parsing its data points."""

from __future__ import annotations

from functools import cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

# The members of a Metric's `data`, and their field numbers.
METRIC_KINDS = {"gauge": 5, "sum": 7, "histogram": 9, "exponential_histogram": 10, "summary": 11}

Field = descriptor_pb2.FieldDescriptorProto


def kinds_in(requests: bytes) -> list[str]:
    """The kinds of the metrics in the requests of a segment; all kinds if it cannot be parsed."""
    try:
        request = _merged_request().FromString(requests)
    except DecodeError:
        return list(METRIC_KINDS)
    metric = request.resource_metrics.scope_metrics.metrics
    return [kind for kind in METRIC_KINDS if metric.HasField(kind)]


@cache
def _merged_request() -> Any:
    """A variant of the request without repeated fields: protobuf merges all metrics into one, and
    skips the points, which are declared as bytes."""
    file = descriptor_pb2.FileDescriptorProto(name="clew/kinds.proto", syntax="proto2")
    for message, field, number, field_type in (
        ("Request", "resource_metrics", 1, "Resource"),
        ("Resource", "scope_metrics", 2, "Scope"),
        ("Scope", "metrics", 2, "Metric"),
    ):
        file.message_type.add(name=message).field.add(
            name=field, number=number, type=Field.TYPE_MESSAGE, type_name=field_type,
            label=Field.LABEL_OPTIONAL,
        )  # fmt: skip
    metric = file.message_type.add(name="Metric")
    for kind, number in METRIC_KINDS.items():
        metric.field.add(
            name=kind, number=number, type=Field.TYPE_BYTES, label=Field.LABEL_OPTIONAL
        )
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("Request"))
