"""Secrets in requests are replaced by the agent's rules, and everything else is as it was sent."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from clew.collector import otlp, redacting
from clew.collector.limits import NoTally, Overloaded
from clew.collector.otlp import Batch
from clew.collector.redacting import Redactor
from support import every_field
from support.any_values import VALUES, any_value

R = "REDACTED"
SECRET = "abc9"


def add(holder: Any, **pairs: Any) -> None:
    for key, value in pairs.items():
        holder.attributes.add(key=key.replace("__", ".")).value.CopyFrom(any_value(value))


def redacted(
    signal: str, request: Any, items: int, redactor: Redactor | None = None
) -> tuple[Any, int]:
    """The request without secrets, and how many of its items were changed."""
    batch = Batch(request.SerializeToString(), items)
    result, changed = (redactor or Redactor()).redact(signal, batch)
    assert result.items == items
    return type(request).FromString(result.body), changed


def span(request: ExportTraceServiceRequest, **values: Any) -> Any:
    scope = (request.resource_spans or [request.resource_spans.add()])[0].scope_spans
    return (scope or [scope.add()])[0].spans.add(trace_id=b"t" * 16, span_id=b"s" * 8, **values)


def test_every_place_of_a_span() -> None:
    request = ExportTraceServiceRequest()
    sent = span(request, name="GET /reset-token/abc9")
    sent.status.message = "password=abc9"
    add(sent, url__query="token=abc9&page=2", db__query__text="SELECT 'abc9'", page=2)
    event = sent.events.add(name="sent Bearer abc9abc9")
    add(event, password=1234)
    add(sent.links.add(trace_id=b"t" * 16, span_id=b"s" * 8), token=[SECRET, SECRET])
    span(request, name="work")
    result, changed = redacted("traces", request, 2)
    assert changed == 1
    assert SECRET not in str(result)
    stored = result.resource_spans[0].scope_spans[0].spans[0]
    assert (stored.name, stored.status.message) == (f"GET /reset-token/{R}", f"password={R}")
    query, statement, page = stored.attributes
    assert (query.value.string_value, page.value.int_value) == (f"token={R}&page=2", 2)
    assert statement.value.string_value == "SELECT ?"
    assert stored.events[0].attributes[0].value.string_value == R
    assert [
        value.string_value for value in stored.links[0].attributes[0].value.array_value.values
    ] == [R, R]
    assert (
        result.resource_spans[0].scope_spans[0].spans[1]
        == request.resource_spans[0].scope_spans[0].spans[1]
    )


def test_every_place_of_a_log_record_and_of_a_data_point() -> None:
    logs = ExportLogsServiceRequest()
    record = logs.resource_logs.add().scope_logs.add().log_records.add(event_name="token=abc9")
    record.body.CopyFrom(
        any_value({"user": "anna", "client_secret": SECRET, "list": ["password=abc9"]})
    )
    add(record, api_key=SECRET)
    result, changed = redacted("logs", logs, 1)
    assert changed == 1
    assert SECRET not in str(result)
    stored = result.resource_logs[0].scope_logs[0].log_records[0]
    assert stored.body == any_value({"user": "anna", "client_secret": R, "list": [f"password={R}"]})
    metrics = ExportMetricsServiceRequest()
    scope = metrics.resource_metrics.add().scope_metrics.add()
    for kind in ("gauge", "sum", "histogram", "exponential_histogram", "summary"):
        point = getattr(scope.metrics.add(name=kind), kind).data_points.add()
        add(point, token=SECRET, kind=kind)
        if kind != "summary":
            exemplar = point.exemplars.add(as_int=1)
            exemplar.filtered_attributes.add(key="password").value.string_value = SECRET
    add(scope.metrics.add(name="plain").gauge.data_points.add(), kind="plain")
    result, changed = redacted("metrics", metrics, 6)
    assert changed == 5
    assert SECRET not in str(result)
    assert str(result).count(R) == 9


def test_a_resource_counts_for_all_its_items_and_a_scope_for_its_own() -> None:
    request = ExportTraceServiceRequest()
    for key in ("token", "name", "kind"):
        group = request.resource_spans.add()
        add(group.resource, **{key: SECRET})
        for scope_key in ("page", "secret" if key == "kind" else "size"):
            scope = group.scope_spans.add()
            add(scope.scope, **{scope_key: "x"})
            scope.spans.add(trace_id=b"t" * 16, span_id=b"s" * 8)
    result, changed = redacted("traces", request, 6)
    assert changed == 3
    assert result.resource_spans[0].resource.attributes[0].value.string_value == R
    assert result.resource_spans[1] == request.resource_spans[1]


def test_a_statement_is_read_as_its_database_reads_it() -> None:
    request = ExportTraceServiceRequest()
    statement = 'SELECT "a" FROM b WHERE c = $1'
    for system in ("postgresql", "mysql"):
        add(span(request), db__query__text=statement, db__system__name=system)
    for _ in range(2):  # also from what is known
        result, changed = redacted("traces", request, 2)
        first, second = result.resource_spans[0].scope_spans[0].spans
        assert changed == 1
        assert first.attributes[0].value.string_value == statement
        assert second.attributes[0].value.string_value == "SELECT ? FROM b WHERE c = $1"


def test_a_route_in_a_name_is_kept() -> None:
    request = ExportTraceServiceRequest()
    add(span(request, name="GET /token/main"), http__route="/token/main")
    span(request, name="GET /token/main")
    result, changed = redacted("traces", request, 2)
    names = [stored.name for stored in result.resource_spans[0].scope_spans[0].spans]
    assert (names, changed) == (["GET /token/main", f"GET /token/{R}"], 1)


def test_a_request_without_secrets_is_the_same_object() -> None:
    request = ExportTraceServiceRequest()
    add(
        span(request, name="work"),
        **{f"a{number}": value for number, (value, _) in enumerate(VALUES.values())},
    )
    batch = Batch(request.SerializeToString(), 1)
    assert Redactor().redact("traces", batch) == (batch, 0)
    assert Redactor().redact("traces", batch)[0] is batch


@pytest.mark.parametrize("signal", ["traces", "logs", "metrics"])
def test_every_field_is_kept(signal: str) -> None:
    """Beside a secret, which makes the request be written anew."""
    request: Any = getattr(every_field, signal)("checkout")
    groups = getattr(request, otlp.MESSAGES[signal].resources_field)
    before = type(request).FromString(request.SerializeToString())
    add(groups[0].resource, token=SECRET)
    result, changed = redacted(signal, request, 1)
    assert changed
    del getattr(result, otlp.MESSAGES[signal].resources_field)[0].resource.attributes[-1]
    assert result == before


@pytest.mark.parametrize("number", [4242424242424242, -4242424242424242])
def test_a_card_number_that_is_a_number(number: int) -> None:
    request = ExportTraceServiceRequest()
    add(span(request), card=number, order=10**15)
    result, _ = redacted("traces", request, 1)
    card, order = result.resource_spans[0].scope_spans[0].spans[0].attributes
    assert (card.value.string_value == R) == (number > 0)
    assert order.value.int_value == 10**15


def test_further_names_and_more_values_than_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redacting, "MAX_KNOWN", 10)
    redactor = Redactor(frozenset({"iban"}))
    for number in range(50):
        request = ExportTraceServiceRequest()
        add(span(request), customer_iban=f"DE{number}", user=f"anna{number}")
        result, changed = redacted("traces", request, 1, redactor)
        iban, user = result.resource_spans[0].scope_spans[0].spans[0].attributes
        assert (iban.value.string_value, user.value.string_value, changed) == (
            R,
            f"anna{number}",
            1,
        )


@pytest.mark.parametrize("padding", [0, redacting.LARGE_BODY])
def test_redacted_items_are_counted_once_they_are_appended(padding: int) -> None:
    request = ExportTraceServiceRequest()
    add(span(request), token=SECRET, padding="x" * padding)
    calls: list[Any] = []

    class Recorder(NoTally):
        def count_redacted(self, signal: str, items: int) -> None:
            calls.append((signal, items))

    async def append(signal: str, batch: Batch) -> None:
        assert SECRET.encode() not in batch.body
        if not calls:
            calls.append("refused")
            raise Overloaded("full")

    wrapped = redacting.redacting(append, Redactor(), Recorder())
    batch = Batch(request.SerializeToString(), 1)
    with pytest.raises(Overloaded):
        asyncio.run(wrapped("traces", batch))
    asyncio.run(wrapped("traces", batch))
    assert calls == ["refused", ("traces", 1)]
