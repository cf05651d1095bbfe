"""Which kinds of metric a segment holds, found without looking at its points."""

from __future__ import annotations

from functools import cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

# A Metric's `data`, by the number of its field.
KINDS = {"gauge": 5, "sum": 7, "histogram": 9, "exponential_histogram": 10, "summary": 11}

Field = descriptor_pb2.FieldDescriptorProto


def kinds_in(requests: bytes) -> list[str]:
    """The kinds of which at least one metric is there; all of them when that cannot be told."""
    try:
        request = _reduced().FromString(requests)
    except DecodeError:
        return list(KINDS)
    metric = request.resource_metrics.scope_metrics.metrics
    return [kind for kind in KINDS if metric.HasField(kind)]


@cache
def _reduced() -> Any:
    """A copy of the request in which nothing is repeated, so that protobuf merges all its metrics
    into one, and the points are bytes that it steps over."""
    file = descriptor_pb2.FileDescriptorProto(name="clew/kinds.proto", syntax="proto2")
    for message, field, number, inner in (
        ("Request", "resource_metrics", 1, "Resource"),
        ("Resource", "scope_metrics", 2, "Scope"),
        ("Scope", "metrics", 2, "Metric"),
    ):
        file.message_type.add(name=message).field.add(
            name=field, number=number, type=Field.TYPE_MESSAGE, type_name=inner,
            label=Field.LABEL_OPTIONAL,
        )  # fmt: skip
    metric = file.message_type.add(name="Metric")
    for kind, number in KINDS.items():
        metric.field.add(
            name=kind, number=number, type=Field.TYPE_BYTES, label=Field.LABEL_OPTIONAL
        )
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("Request"))
