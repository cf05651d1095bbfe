"""Which kinds of metric a segment holds."""

from __future__ import annotations

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from clew.collector.otlp import Batch
from clew.collector.segment import encode_segment
from clew.storage.kinds import METRIC_KINDS, kinds_in


def request(*kinds: str) -> bytes:
    """A resource and a scope for each metric, each with a point."""
    message = ExportMetricsServiceRequest()
    for kind in kinds:
        metric = message.resource_metrics.add().scope_metrics.add().metrics.add(name=kind)
        getattr(metric, kind).data_points.add(time_unix_nano=1)
    return message.SerializeToString()


@pytest.mark.parametrize(
    "kinds", [[], *([kind] for kind in METRIC_KINDS), ["sum", "gauge", "sum"], [*METRIC_KINDS]]
)
def test_those_that_are_there_are_found(kinds: list[str]) -> None:
    segment = encode_segment([Batch(request(*kinds), len(kinds)), Batch(request(), 0)], 7)
    assert kinds_in(segment) == [kind for kind in METRIC_KINDS if kind in kinds]


def test_numbers_are_those_of_the_protocol() -> None:
    from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

    data = Metric.DESCRIPTOR.oneofs_by_name["data"].fields
    assert {field.name: field.number for field in data} == METRIC_KINDS


def test_all_are_tried_when_it_cannot_be_told() -> None:
    assert kinds_in(b"\x0a\xff") == list(METRIC_KINDS)
