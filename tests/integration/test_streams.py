"""Which time series a point belongs to: its stream, in every table of points."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from clew.storage import Ingest, Store
from support.loading import load, rows

KINDS = ("gauge", "sum", "histogram", "exponential_histogram", "summary")
TIME = 1_700_000_000_123_456_789
RESOURCE = {"service.name": "web", "host.name": "h", "os.type": "linux"}
ATTRIBUTES = {"route": "/", "method": "GET"}


def point_request(kind: str, **changes: Any) -> bytes:
    """A request with one point; `changes`: resource, attributes, scope, version, scope_attributes,
    name, unit, temporality, monotonic, bounds, start."""
    request = ExportMetricsServiceRequest()
    resource = request.resource_metrics.add()
    _set(resource.resource.attributes, changes.get("resource", RESOURCE))
    scope = resource.scope_metrics.add()
    scope.scope.name = changes.get("scope", "s")
    scope.scope.version = changes.get("version", "1")
    _set(scope.scope.attributes, changes.get("scope_attributes", {"a": "1", "b": "2"}))
    metric = scope.metrics.add(name=changes.get("name", "m"), unit=changes.get("unit", "1"))
    data = getattr(metric, kind)
    if kind in ("sum", "histogram", "exponential_histogram"):
        data.aggregation_temporality = changes.get("temporality", 2)
    if kind == "sum":
        data.is_monotonic = changes.get("monotonic", True)
    point = data.data_points.add(
        time_unix_nano=TIME, start_time_unix_nano=changes.get("start", TIME - 10**9)
    )
    _set(point.attributes, changes.get("attributes", ATTRIBUTES))
    if kind == "histogram":
        point.explicit_bounds.extend(changes.get("bounds", (1.0,)))
        point.bucket_counts.extend((0,) * (len(point.explicit_bounds) + 1))
    return request.SerializeToString()


def _set(attributes: Any, values: dict[str, str]) -> None:
    attributes.extend(
        KeyValue(key=key, value=AnyValue(string_value=value)) for key, value in values.items()
    )


def _reversed(values: dict[str, str]) -> dict[str, str]:
    return dict(reversed(values.items()))


ALIKE: dict[str, dict[str, Any]] = {
    "the order of resource attributes": {"resource": _reversed(RESOURCE)},
    "the order of attributes": {"attributes": _reversed(ATTRIBUTES)},
    "the order of scope attributes": {"scope_attributes": {"b": "2", "a": "1"}},
    "bounds of buckets": {"bounds": (1.0, 2.0)},
    "the start": {"start": TIME - 10**10},
}
APART: dict[str, dict[str, Any]] = {
    "a resource attribute": {"resource": RESOURCE | {"k8s.pod.name": "a"}},
    "an attribute": {"attributes": ATTRIBUTES | {"route": "/a"}},
    "an attribute less": {"attributes": {"route": "/"}},
    "the scope": {"scope": "other"},
    "the scope's version": {"version": "2"},
    "a scope attribute": {"scope_attributes": {"a": "1"}},
    "the unit": {"unit": "s"},
    "the name": {"name": "n"},
}
APART_OF_KIND: dict[str, dict[str, dict[str, Any]]] = {
    "sum": {"the temporality": {"temporality": 1}, "monotonicity": {"monotonic": False}},
    "histogram": {"the temporality": {"temporality": 1}},
    "exponential_histogram": {"the temporality": {"temporality": 1}},
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_is_what_the_data_model_says(
    store: Store, ingest: Ingest, tmp_path: Path, kind: str
) -> None:
    apart = APART | APART_OF_KIND.get(kind, {})
    changes = [{}, *ALIKE.values(), *apart.values()]
    load(ingest, tmp_path, *(("metrics", point_request(kind, **change)) for change in changes))
    streams = [
        row["Stream"]
        for row in rows(store, f"SELECT DISTINCT Stream FROM otel.otel_metrics_{kind}")
    ]
    assert len(streams) == 1 + len(apart)


@pytest.mark.parametrize("kind", KINDS)
def test_other_writers_get_the_same_stream_by_default(
    store: Store, ingest: Ingest, tmp_path: Path, kind: str
) -> None:
    apart = [{}, *APART.values(), *APART_OF_KIND.get(kind, {}).values()]
    load(ingest, tmp_path, *(("metrics", point_request(kind, **change)) for change in apart))
    table = f"otel.otel_metrics_{kind}"
    ours = rows(store, f"SELECT Stream FROM {table} ORDER BY Stream")
    with store.client() as client:
        columns = client.query(
            "SELECT name FROM system.columns WHERE database = 'otel' AND table = {table:String} "
            "AND name NOT IN ('Stream', 'TimeUnixNanos', 'StartTimeUnixNanos', 'HasSum', 'HasMin', 'HasMax') "
            "AND default_kind NOT IN ('MATERIALIZED', 'ALIAS')",
            parameters={"table": f"otel_metrics_{kind}"},
        ).result_columns[0]
        names = ", ".join(f"`{column}`" for column in columns)
        client.command(f"INSERT INTO {table} ({names}) SELECT {names} FROM {table}")
    both = rows(store, f"SELECT Stream, count() AS n FROM {table} GROUP BY Stream ORDER BY Stream")
    assert [row["Stream"] for row in both] == [row["Stream"] for row in ours]
    assert {row["n"] for row in both} == {2}


def test_points_keep_their_nanoseconds(store: Store, ingest: Ingest, tmp_path: Path) -> None:
    load(ingest, tmp_path, *(("metrics", point_request(kind)) for kind in KINDS))
    for kind in KINDS:
        (row,) = rows(store, f"SELECT TimeUnixNanos AS n FROM otel.otel_metrics_{kind}")
        assert row["n"] == 123_456_789


@pytest.mark.parametrize("kind", ["histogram", "exponential_histogram"])
@pytest.mark.parametrize("figures", [{}, {"sum": 0.0}, {"sum": 5.0, "min": 0.0, "max": 0.0}])
def test_figures_that_a_histogram_does_not_have_are_told_apart_from_0(
    store: Store, ingest: Ingest, tmp_path: Path, kind: str, figures: dict[str, float]
) -> None:
    request = ExportMetricsServiceRequest.FromString(point_request(kind))
    data = getattr(request.resource_metrics[0].scope_metrics[0].metrics[0], kind)
    for name, value in figures.items():
        setattr(data.data_points[0], name, value)
    load(ingest, tmp_path, ("metrics", request.SerializeToString()))
    (row,) = rows(
        store, f"SELECT HasSum, HasMin, HasMax, Sum, Min, Max FROM otel.otel_metrics_{kind}"
    )
    for name in ("sum", "min", "max"):
        assert row[f"Has{name.title()}"] == (name in figures)
        assert row[name.title()] == figures.get(name, 0.0)
