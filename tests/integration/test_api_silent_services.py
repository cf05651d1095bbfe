"""Services of which no span comes in are listed, with the likely reason."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)

from clew.storage import Ingest, Store
from support.api_client import ApiClient
from support.reference import rfc3339
from support.traffic import MINUTE, SECOND, Generator, Loader, Process

BEGAN = 1_780_308_000 * SECOND


@pytest.fixture(scope="module")
def api(emptied: Callable[[], Store], tmp_path_factory: pytest.TempPathFactory) -> ApiClient:
    store = emptied()
    loader = Loader(Ingest(store), tmp_path_factory.mktemp("segments"))
    generator = Generator(1, [Process("web", "web-1")])
    loader.spans(generator.trace(Process("web", "web-1"), "GET /", BEGAN))
    logs = ExportLogsServiceRequest()
    for service in ("web", "shipped", "nightly", "clew"):
        _add(logs.resource_logs.add(), service).log_records.add(time_unix_nano=BEGAN)
    old = _add(logs.resource_logs.add(), "long ago").log_records.add()
    old.time_unix_nano = BEGAN - 300 * MINUTE
    loader.request("logs", logs)
    metrics = ExportMetricsServiceRequest()
    for service, name in (("nightly", "cpython.gc.collections"), ("scraped", "up"), ("web", "up")):
        metric = _add(metrics.resource_metrics.add(), service).metrics.add(name=name)
        metric.gauge.data_points.add(time_unix_nano=BEGAN, as_double=1)
    loader.request("metrics", metrics)
    return ApiClient(store)


def _add(group: object, service: str) -> object:
    group.resource.attributes.add(key="service.name").value.string_value = service  # type: ignore[attr-defined]
    group.resource.attributes.add(  # type: ignore[attr-defined]
        key="deployment.environment.name"
    ).value.string_value = "prod"
    kind = type(group).__name__.removeprefix("Resource").lower()
    return getattr(group, f"scope_{kind}").add()


def test_a_service_without_spans_is_listed_with_the_reason(api: ApiClient) -> None:
    window = {"start": rfc3339(BEGAN - 600 * MINUTE), "end": rfc3339(BEGAN + MINUTE)}
    answer = api.get("/api/v1/services", **window)
    silent = {row["service"]: row for row in answer["without_spans"]}
    assert {name: (row["log_records"], row["points"]) for name, row in silent.items()} == {
        "nightly": (1, 1),
        "scraped": (0, 1),
        "shipped": (1, 0),
    }
    assert "clew run --explain" in silent["nightly"]["reason"]
    assert "OTEL_TRACES_EXPORTER" in silent["scraped"]["reason"]
    assert "log shipper" in silent["shipped"]["reason"]
    assert [row["service"] for row in answer["services"]] == ["web"]
    other = api.get("/api/v1/services", **window, environment="staging")
    assert other["without_spans"] == []
    one = api.get("/api/v1/services", **window, service="scraped")
    assert [row["service"] for row in one["without_spans"]] == ["scraped"]
