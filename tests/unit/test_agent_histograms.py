"""The shorter way of a request's measurement gives the points of the longer one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.metrics import Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, InMemoryMetricReader
from opentelemetry.sdk.metrics.view import DropAggregation, View
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from clew.agent.entries.histograms import RequestHistogram

GET, POST = {"http.request.method": "GET", "http.route": "/a"}, {"http.request.method": "POST"}
SAMPLED = trace.set_span_in_context(
    NonRecordingSpan(SpanContext(1, 2, is_remote=False, trace_flags=TraceFlags(1))), Context()
)
DELTA = {Histogram: AggregationTemporality.DELTA}


def points(reader: InMemoryMetricReader) -> list[Any]:
    data = reader.get_metrics_data()
    return [
        (
            dict(point.attributes), point.count, point.sum, point.min, point.max,
            tuple(point.bucket_counts), tuple(point.explicit_bounds),
            [(e.value, e.span_id, e.trace_id, dict(e.filtered_attributes)) for e in point.exemplars],
        )
        for group in (data.resource_metrics if data is not None else ())
        for scope in group.scope_metrics
        if scope.scope.name == "shop"  # others are of the SDK itself
        for metric in scope.metrics
        for point in metric.data.data_points
    ]  # fmt: skip


def record(
    is_short: bool, views: Sequence[View], temporality: Any, readers: int = 1
) -> list[list[Any]]:
    """The points after each of two rounds of measurements."""
    memory = [InMemoryMetricReader(preferred_temporality=temporality) for _ in range(readers)]
    provider = MeterProvider(memory, views=views, shutdown_on_exit=False)
    histogram = provider.get_meter("shop").create_histogram("duration", unit="s")
    short = RequestHistogram(histogram)
    rounds = []
    for _ in range(2):
        for amount in (0.2, 3, 70):
            for attributes in (GET, POST):
                context = SAMPLED if amount == 3 else Context()
                if is_short:
                    short.record(amount, attributes, context)
                else:
                    histogram.record(amount, attributes, context)
        rounds += [points(reader) for reader in memory]
    provider.shutdown()
    return rounds


@pytest.mark.parametrize(
    "views",
    [
        (),
        (View(instrument_name="duration", attribute_keys={"http.request.method"}),),
        (View(instrument_name="duration", attribute_keys=set()),),
        (
            View(instrument_name="duration", name="one"),
            View(instrument_name="duration", name="two"),
        ),
        (View(instrument_name="duration", aggregation=DropAggregation()),),
    ],
)
@pytest.mark.parametrize("temporality", [None, DELTA])
@pytest.mark.parametrize("readers", [0, 1, 2])
def test_points_are_those_of_the_sdk(views: Any, temporality: Any, readers: int) -> None:
    expected = record(False, views, temporality, readers)
    assert record(True, views, temporality, readers) == expected


def test_the_sdk_is_gone_past_once_it_knows_the_attributes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    provider = MeterProvider([InMemoryMetricReader()], shutdown_on_exit=False)
    histogram = provider.get_meter("shop").create_histogram("duration")
    amounts = []
    monkeypatch.setattr(
        type(histogram), "record", lambda _, amount, *rest: amounts.append(amount), raising=True
    )
    short = RequestHistogram(histogram)
    short.record(1, GET, Context())
    monkeypatch.undo()
    assert amounts == [1]
    short.record(2, GET, Context())
    monkeypatch.setattr(type(histogram), "record", None)
    short.record(3, GET, Context())
    provider.shutdown()


def test_a_reader_that_is_added_later_gets_what_comes_then() -> None:
    first, later = InMemoryMetricReader(), InMemoryMetricReader()
    provider = MeterProvider([first], shutdown_on_exit=False)
    short = RequestHistogram(provider.get_meter("shop").create_histogram("duration"))
    for _ in range(3):
        short.record(1, GET, Context())
    provider.add_metric_reader(later)
    short.record(1, GET, Context())
    short.record(1, GET, Context())
    assert [point[1] for point in points(first)] == [5]
    assert [point[1] for point in points(later)] == [2]
    provider.shutdown()


def test_without_a_reader_there_is_nothing_to_record() -> None:
    provider = MeterProvider([], shutdown_on_exit=False)
    assert not RequestHistogram(provider.get_meter("a").create_histogram("b")).has_readers()
    provider.shutdown()
    other = RequestHistogram(NoOpMeterProvider().get_meter("a").create_histogram("b"))
    assert other.has_readers()  # it cannot be known
    other.record(1, GET, Context())
    other.record(1, GET, Context())
