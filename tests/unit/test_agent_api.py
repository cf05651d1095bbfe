"""The small API of the agent: what it records, and that it does nothing where nothing records."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from opentelemetry import baggage, metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from clew.agent import (
    api,
    bulkhead,
    cache_operation,
    circuit_breaker,
    counter,
    event,
    gauge,
    histogram,
    settings,
    span,
    transaction,
)


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    api._tracer.cache_clear()
    yield exporter
    api._tracer.cache_clear()
    provider.shutdown()


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemoryMetricReader]:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    monkeypatch.setattr(metrics, "get_meter", provider.get_meter)
    monkeypatch.setattr(api, "_circuit_states", {})
    api._instrument.cache_clear()
    yield reader
    api._instrument.cache_clear()


def points(reader: InMemoryMetricReader) -> dict[str, list[tuple[dict[str, Any], Any]]]:
    data = reader.get_metrics_data()
    assert data is not None
    return {
        metric.name: [
            (
                dict(point.attributes or {}),
                getattr(point, "value", None) or getattr(point, "sum", 0),
            )
            for point in metric.data.data_points
        ]
        for metric in data.resource_metrics[0].scope_metrics[0].metrics
    }


def test_a_transaction_outside_a_request_is_a_trace(spans: InMemorySpanExporter) -> None:
    with transaction("Checkout", key=42, value=Decimal("9.90")) as scope:
        assert baggage.get_all() == {"business.transaction": "Checkout", "business.key": "42"}
        scope.set(items=3, coupon=None)
    assert not baggage.get_all()
    (root,) = spans.get_finished_spans()
    assert (root.name, root.parent) == ("Checkout", None)
    assert root.attributes == {
        "business.transaction": "Checkout",
        "business.key": "42",
        "business.value": 9.9,
        "items": 3,
    }


def test_a_transaction_within_a_request_marks_its_span(spans: InMemorySpanExporter) -> None:
    with span("GET /checkout"), transaction("Checkout", key="a"):
        with transaction("Payment"):
            assert baggage.get_all() == {"business.transaction": "Payment"}
        assert baggage.get_all()["business.key"] == "a"
    (request,) = spans.get_finished_spans()
    assert (request.attributes or {})["business.key"] == "a"


def test_blocks_are_decorators_of_functions_and_coroutines(spans: InMemorySpanExporter) -> None:
    @span("plain", provider="stripe", amount=Decimal(1))
    def charge(amount: int) -> int:
        return amount + 1

    @transaction("Nightly", key="x")
    async def work() -> str:
        async with span("inner"):
            await asyncio.sleep(0)
        return str(baggage.get_baggage("business.key"))

    async def both() -> list[str]:
        return await asyncio.gather(work(), work())

    assert (charge(1), charge.__name__) == (2, "charge")
    assert asyncio.run(both()) == ["x", "x"]
    names = [each.name for each in spans.get_finished_spans()]
    assert sorted(names) == ["Nightly", "Nightly", "inner", "inner", "plain"]
    assert spans.get_finished_spans()[0].attributes == {"provider": "stripe", "amount": "1"}
    roots = [each for each in spans.get_finished_spans() if each.name == "Nightly"]
    assert len({each.context.trace_id for each in roots if each.context}) == 2


def test_an_exception_puts_the_span_in_error(spans: InMemorySpanExporter) -> None:
    with pytest.raises(ValueError, match="no good"), span("work"):
        event("began", step=1)
        raise ValueError("no good")
    (failed,) = spans.get_finished_spans()
    assert failed.status.status_code is trace.StatusCode.ERROR
    assert [each.name for each in failed.events] == ["began", "exception"]


def test_a_block_can_be_entered_within_itself(spans: InMemorySpanExporter) -> None:
    block = span("work")
    with block, block:
        pass
    inner, outer = spans.get_finished_spans()
    assert inner.parent is not None
    assert outer.parent is None


def test_instruments_record_with_their_attributes(reader: InMemoryMetricReader) -> None:
    counter("items.processed").add(3, kind="image")
    counter("items.processed").add(kind="image")
    gauge("queue.length").set(17)
    histogram("items.size", "By").record(512)
    assert points(reader) == {
        "items.processed": [({"kind": "image"}, 4)],
        "queue.length": [({}, 17)],
        "items.size": [({}, 512)],
    }


def test_a_histograms_buckets_fit_its_unit(reader: InMemoryMetricReader) -> None:
    histogram("lookups", "s").record(0.0003)
    histogram("sizes", "By").record(52_000)
    histogram("lengths").record(3)
    data = reader.get_metrics_data()
    assert data is not None
    buckets = {}
    for metric in data.resource_metrics[0].scope_metrics[0].metrics:
        (point,) = metric.data.data_points
        index = point.bucket_counts.index(1)  # type: ignore[union-attr]
        buckets[metric.name] = point.explicit_bounds[index - 1 : index + 1]  # type: ignore[union-attr]
    assert buckets["lookups"] == (0.00025, 0.0005)
    assert buckets["sizes"] == (16_384, 65_536)
    assert tuple(buckets["lengths"]) == (0, 5)


def test_caches_circuit_breakers_and_bulkheads(reader: InMemoryMetricReader) -> None:
    cache_operation("prices", True, 0.5, entries=10, size=2048)
    cache_operation("prices", False)
    for state in ("closed", "open", "open", "half_open"):
        circuit_breaker("payments", state)  # type: ignore[arg-type]
    bulkhead("reports", active=3, limit=4, waiting=1, rejected=2)
    recorded = points(reader)
    lookups = {point["cache.hit"]: value for point, value in recorded["cache.lookups"]}
    assert lookups == {True: 1, False: 1}
    assert recorded["cache.size"] == [({"cache.name": "prices"}, 2048)]
    assert [
        point["circuit_breaker.to"] for point, _ in recorded["circuit_breaker.state_changes"]
    ] == [
        "open",
        "half_open",
    ]
    assert recorded["bulkhead.rejected"] == [({"bulkhead.name": "reports"}, 2)]


def test_without_providers_nothing_happens() -> None:
    program = """
import sys
import clew.agent
assert not [name for name in sys.modules if name.startswith("opentelemetry")], "expensive"
sys.modules["opentelemetry"] = None if sys.argv[1:] else sys.modules.get("opentelemetry", ...)
if not sys.argv[1:]:
    del sys.modules["opentelemetry"]
from clew.agent import *
with transaction("Checkout", key=1, value=2) as scope, span("work", a=1):
    scope.set(b=2)
    event("e")
cache_operation("c", True, 0.1); circuit_breaker("b", "open"); bulkhead("h", active=1)
counter("n").add(); gauge("g").set(1); histogram("h").record(1)
print("went on")
"""
    for arguments in ([], ["without the API"]):
        result = subprocess.run(
            [sys.executable, "-c", program, *arguments], capture_output=True, text=True
        )
        assert (result.stdout, result.stderr) == ("went on\n", "")


def test_an_unknown_name_is_an_attribute_error() -> None:
    import clew.agent

    with pytest.raises(AttributeError):
        clew.agent.nonsense  # noqa: B018


def test_plain_settings_stand_for_those_of_opentelemetry() -> None:
    environ = {
        "CLEW_ENDPOINT": "https://clew.example",
        "CLEW_API_KEY": "ab c",
        "CLEW_SAMPLE": "0.1",
        "CLEW_METRICS_INTERVAL": "2.5",
        "CLEW_EXPORTER": "console",
        "OTEL_LOGS_EXPORTER": "none",
    }
    settings.apply_defaults(environ)
    assert environ["OTEL_EXPORTER_OTLP_ENDPOINT"] == "https://clew.example"
    assert environ["OTEL_EXPORTER_OTLP_HEADERS"] == "authorization=Bearer%20ab%20c"
    assert environ["OTEL_TRACES_SAMPLER"] == "parentbased_traceidratio"
    assert environ["OTEL_TRACES_SAMPLER_ARG"] == "0.1"
    assert environ["OTEL_METRIC_EXPORT_INTERVAL"] == "2500"
    assert environ["OTEL_TRACES_EXPORTER"] == environ["OTEL_METRICS_EXPORTER"] == "console"
    assert environ["OTEL_LOGS_EXPORTER"] == "none"


@pytest.mark.parametrize(
    ("name", "text"),
    [("CLEW_SAMPLE", "half"), ("CLEW_EXPORTER", "x"), ("CLEW_METRICS_INTERVAL", "-1")],
)
def test_a_plain_setting_that_cannot_be_is_named(name: str, text: str) -> None:
    with pytest.raises(ValueError, match=name):
        settings.apply_defaults({name: text})
