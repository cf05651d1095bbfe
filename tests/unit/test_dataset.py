"""The benchmarks' data set is what its truth says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from dataset import requests, truth
from day import LARGE_TRACE, SLOW_FROM, SLOW_UNTIL, Day
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

END = 1_796_000_000_000_000_000
SKEW = 2_000_000


class Sent:
    """A small day as its receiver sees it."""

    def __init__(self, spans: int) -> None:
        self.day = Day(spans, 24, 5, END)
        self.counts: Counter[str] = Counter()
        self.spans: list[tuple[str, Any]] = []
        self.records: list[tuple[str, Any]] = []
        self.metrics: list[tuple[str, Any]] = []
        for path, body in requests(self.day, self.counts):
            if path == "/v1/traces":
                for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                    for scope in resource.scope_spans:
                        self.spans += [(service(resource), span) for span in scope.spans]
            elif path == "/v1/logs":
                for resource in ExportLogsServiceRequest.FromString(body).resource_logs:
                    for scope in resource.scope_logs:
                        self.records += [(service(resource), each) for each in scope.log_records]
            else:
                for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                    for scope in resource.scope_metrics:
                        self.metrics += [(service(resource), each) for each in scope.metrics]
        self.by_id = {(span.trace_id, span.span_id): span for _, span in self.spans}
        self.whose = {(span.trace_id, span.span_id): service for service, span in self.spans}


def service(resource: Any) -> str:
    return str(text(resource.resource, "service.name"))


def text(of: Any, key: str) -> Any:
    return next((each.value.string_value for each in of.attributes if each.key == key), None)


def roots(sent: Sent) -> Iterator[tuple[str, Any]]:
    return ((service, span) for service, span in sent.spans if not span.parent_span_id)


@pytest.fixture(scope="module")
def sent() -> Sent:
    return Sent(16_000)


@pytest.fixture(scope="module")
def known() -> dict[str, Any]:
    # The same whenever the day ends.
    return truth(Day(16_000, 24, 5, 0))


def test_every_span_and_every_trace_is_counted(sent: Sent, known: dict[str, Any]) -> None:
    assert len(sent.spans) == len(sent.by_id) == known["spans"] == sent.counts["spans"]
    assert len(list(roots(sent))) == known["traces"] == sent.counts["traces"]
    assert 0.9 < len(sent.spans) / 16_000 < 1.1


def test_transactions_operations_and_edges_are_as_counted(
    sent: Sent, known: dict[str, Any]
) -> None:
    counted: Counter[str] = Counter()
    errors: Counter[str] = Counter()
    for service, root in roots(sent):
        counted[f"{service}: {root.name}"] += 1
        errors[f"{service}: {root.name}"] += root.status.code == 2
    del counted["reporting: nightly report"]
    expected = {name: each for name, each in known["transactions"].items() if each["count"]}
    assert counted == {name: each["count"] for name, each in expected.items()}
    assert +errors == Counter({name: each["errors"] for name, each in expected.items()})
    edges = Counter(
        f"{caller} > {service} (service)"
        for service, span in sent.spans
        if (caller := sent.whose.get((span.trace_id, span.parent_span_id), service)) != service
    )
    known_edges = {edge: n for edge, n in known["edges"].items() if edge.endswith("(service)")}
    assert edges == +Counter(known_edges)


def test_children_lie_within_their_parents(sent: Sent) -> None:
    for _, span in sent.spans:
        assert span.start_time_unix_nano <= span.end_time_unix_nano
        if span.parent_span_id:
            parent = sent.by_id[span.trace_id, span.parent_span_id]
            assert span.start_time_unix_nano >= parent.start_time_unix_nano - SKEW
            assert span.end_time_unix_nano <= parent.end_time_unix_nano + SKEW


def test_what_follows_a_checkout_has_its_order_and_its_link(
    sent: Sent, known: dict[str, Any]
) -> None:
    orders = known["orders"]
    fulfilled = [span for _, span in sent.spans if span.name == "orders process"]
    assert len(fulfilled) == orders["fulfilled"] > 0
    for span in fulfilled:
        producer = sent.by_id[span.links[0].trace_id, span.links[0].span_id]
        assert text(producer, "order.id") == text(span, "order.id")
        assert producer.end_time_unix_nano < span.start_time_unix_nano
    checkouts = [span for _, span in sent.spans if span.name == "POST /checkout"]
    assert len(checkouts) == orders["attempts"]
    assert len({text(span, "order.id") for span in checkouts}) == orders["placed"]
    ok = {text(span, "order.id") for span in checkouts if span.status.code != 2}
    assert orders["placed"] - len(ok) == orders["failed"]


def test_one_tenant_is_slow_in_one_hour(sent: Sent, known: dict[str, Any]) -> None:
    slow = [
        span
        for service, span in roots(sent)
        if span.name == "POST /cart"
        and span.end_time_unix_nano - span.start_time_unix_nano > 2 * 10**8
    ]
    assert len(slow) == known["slow"]["count"] > 0
    for span in slow:
        assert text(span, "tenant.id") == known["slow"]["tenant"]
        share = (span.start_time_unix_nano - sent.day.start) / sent.day.length
        assert SLOW_FROM <= share < SLOW_UNTIL


def test_log_records_belong_to_their_spans_or_to_none(sent: Sent, known: dict[str, Any]) -> None:
    assert len(sent.records) == sent.counts["log records"]
    in_trace = 0
    for service, record in sent.records:
        if not record.trace_id:
            continue
        in_trace += 1
        span = sent.by_id[record.trace_id, record.span_id]
        assert sent.whose[record.trace_id, record.span_id] == service
        assert span.start_time_unix_nano - SKEW <= record.time_unix_nano
        assert record.time_unix_nano <= span.end_time_unix_nano
    assert 0.6 < in_trace / len(sent.records) < 1
    for word, count in known["words"].items():
        texts = (record.body.string_value.split() for _, record in sent.records)
        assert sum(word in each for each in texts) == count


def test_metrics_have_exemplars_of_real_spans(sent: Sent) -> None:
    points = 0
    for _, metric in sent.metrics:
        data = getattr(metric, metric.WhichOneof("data")).data_points
        points += len(data)
        for point in data:
            assert sent.day.start <= point.time_unix_nano < END
            for exemplar in getattr(point, "exemplars", ()):
                assert (exemplar.trace_id, exemplar.span_id) in sent.by_id
    assert points == sent.counts["points"]


def test_the_large_trace_is_whole(sent: Sent, known: dict[str, Any]) -> None:
    large = [span for _, span in sent.spans if span.trace_id.hex() == LARGE_TRACE]
    assert len(large) == known["large_trace"]["spans"] == 4_000
    assert sum(not span.parent_span_id for span in large) == 1
