"""The private parts of dependencies that clew uses exist, and these dependencies have upper bounds:
any newer version may change such parts.

A name is private when it begins with an underscore, is in a module that does, or is not in the
dependency's documentation.
"""

from __future__ import annotations

import ast
import dis
import importlib
import inspect
import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest
from chdb import _chdb

from clew.agent import delivery
from clew.storage import Store

ROOT = Path(__file__).parents[2]
AREAS = ("collector/clew", "storage/clew", "services/clew")

# By distribution: a module and, after the colon, an attribute in it. `*` is an attribute that
# `__init__` sets, `NAME()` a parameter of a function.
PRIVATE = {
    "uvicorn": [
        *(
            f"uvicorn.protocols.http.httptools_impl:HttpToolsProtocol.{name}"
            for name in (
                *("connection_made", "connection_lost", "data_received"),
                *("on_headers_complete", "on_body", "on_message_complete"),
                *("timeout_keep_alive_handler", "*timeout_keep_alive", "*timeout_keep_alive_task"),
                *("*connections", "*cycle", "*loop", "*server", "*server_state", "*transport"),
            )
        ),
        "uvicorn.protocols.http.httptools_impl:RequestResponseCycle.*response_complete",
        "uvicorn.protocols.http.httptools_impl:RequestResponseCycle.*response_started",
        "uvicorn:Server.capture_signals",
        "uvicorn:Server.main_loop",
        "uvicorn.server:ServerState.*default_headers",
    ],
    "chdb-core": [
        *(
            f"chdb._chdb:connect.{name}"
            for name in (
                *("query", "send_query", "streaming_fetch_result", "streaming_cancel_query"),
                *("classify_query", "close"),
            )
        ),
        *(
            f"chdb._chdb:query_result.{name}"
            for name in (
                *("bytes", "rows_read", "bytes_read"),
                *("storage_rows_read", "storage_bytes_read"),
            )
        ),
    ],
    "opentelemetry-api": [
        "opentelemetry._logs:get_logger_provider",
        "opentelemetry._logs._internal:_LOGGER_PROVIDER",
        "opentelemetry._logs._internal:set_logger_provider",
        "opentelemetry.context:_SUPPRESS_INSTRUMENTATION_KEY",
        "opentelemetry.metrics._internal:_METER_PROVIDER",
        "opentelemetry.metrics._internal:set_meter_provider",
        "opentelemetry.trace:_TRACER_PROVIDER",
    ],
    "opentelemetry-sdk": [
        "opentelemetry.sdk._configuration:_OTelSDKConfigurator.configure",
        "opentelemetry.sdk._configuration:_get_exporter_names",
        "opentelemetry.sdk._configuration:_import_exporters",
        "opentelemetry.sdk._logs:LoggerProvider.*_multi_log_record_processor",
        "opentelemetry.sdk._logs._internal:SynchronousMultiLogRecordProcessor.*_log_record_processors",
        "opentelemetry.sdk._logs.export:BatchLogRecordProcessor.*_batch_processor",
        "opentelemetry.sdk._shared_internal:BatchProcessor.shutdown(timeout_millis)",
        *(
            f"opentelemetry.sdk._shared_internal:BatchProcessor.{name}"
            for name in (
                *("*_queue", "*_shutdown", "*_shutdown_timeout_exceeded", "*_worker_awaken"),
                *("*_worker_thread", "_at_fork_reinit"),
            )
        ),
        "opentelemetry.sdk.metrics:MeterProvider._all_metric_readers",
        *(
            f"opentelemetry.sdk.metrics.export:PeriodicExportingMetricReader.{name}"
            for name in ("*_daemon_thread", "*_export_lock", "*_shutdown_event", "_at_fork_reinit")
        ),
        *(
            f"opentelemetry.sdk.metrics._internal.{name}"
            for name in (
                "aggregation:_Aggregation.*_attributes",
                "instrument:Histogram.*_measurement_consumer",
                "measurement_consumer:SynchronousMeasurementConsumer.*_reader_storages",
                "measurement_consumer:SynchronousMeasurementConsumer.*_sdk_config",
                "metric_reader_storage:MetricReaderStorage.*_instrument_view_instrument_matches",
                "_view_instrument_match:_ViewInstrumentMatch.*_attributes_aggregation",
            )
        ),
        "opentelemetry.sdk.metrics.export:MetricExporter.*_preferred_aggregation",
        "opentelemetry.sdk.metrics.export:MetricExporter.*_preferred_temporality",
        "opentelemetry.sdk._logs._internal:Logger._is_enabled",
        "opentelemetry.sdk._logs._internal:Logger.*_logger_metrics",
        "opentelemetry.sdk._shared_internal:BatchProcessor.*_exporter",
        "opentelemetry.sdk.resources:Resource.*_attributes",
        *(
            f"opentelemetry.sdk.trace:ReadableSpan.*{name}"
            for name in ("_attributes", "_events", "_links", "_status")
        ),
        "opentelemetry.sdk.trace:Span.*_name",
        "opentelemetry.sdk.trace:SpanProcessor._on_ending",
        "opentelemetry.sdk.trace:SynchronousMultiSpanProcessor.*_span_processors",
        "opentelemetry.sdk.trace:TracerProvider.*_active_span_processor",
        "opentelemetry.sdk.trace.export:BatchSpanProcessor.*_batch_processor",
    ],
    "opentelemetry-instrumentation-celery": [
        "opentelemetry.instrumentation.celery:CeleryInstrumentor._trace_before_publish",
        "opentelemetry.instrumentation.celery:CeleryInstrumentor._trace_after_publish",
    ],
    "opentelemetry-instrumentation-asgi": [
        *(
            f"opentelemetry.instrumentation.asgi:{name}"
            for name in (
                *("_StabilityMode.HTTP", "_decode_header_item", "_parse_duration_attrs"),
                *("_parse_active_request_count_attrs", "_set_http_peer_ip_server"),
                "_set_http_peer_port_server",
            )
        ),
        "opentelemetry.instrumentation.asgi:OpenTelemetryMiddleware.*_sem_conv_opt_in_mode",
    ],
    "opentelemetry-instrumentation-django": [
        *(
            f"opentelemetry.instrumentation.django.middleware.otel_middleware:{name}"
            for name in (
                *("_is_asgi_request", "extract_attributes_from_object"),
                *(
                    f"_DjangoMiddleware.{attribute}"
                    for attribute in (
                        *("_active_request_counter", "_duration_histogram_new", "_excluded_urls"),
                        *("_get_span_name", "_otel_request_hook", "_otel_response_hook"),
                        *("_sem_conv_opt_in_mode", "_traced_request_attrs", "_tracer"),
                    )
                ),
            )
        ),
    ],
    "opentelemetry-instrumentation-flask": [
        *(
            f"opentelemetry.instrumentation.flask:{name}"
            for name in (
                *("_ENVIRON_ACTIVATION_KEY", "_ENVIRON_REQCTX_REF_KEY", "_ENVIRON_SPAN_KEY"),
                *("_ENVIRON_STARTTIME_KEY", "_ENVIRON_TOKEN", "_request_ctx_ref"),
                *("_rewrapped_app", "_start_internal_or_server_span"),
                *("_wrapped_before_request", "_wrapped_teardown_request"),
            )
        ),
    ],
    "opentelemetry-instrumentation-wsgi": [
        *(
            f"opentelemetry.instrumentation.wsgi:{name}"
            for name in (
                *("_StabilityMode.HTTP", "_parse_active_request_count_attrs"),
                *("_parse_duration_attrs", "_set_http_peer_port_server", "_set_http_target"),
            )
        ),
    ],
    "opentelemetry-instrumentation-system-metrics": [
        "opentelemetry.instrumentation.system_metrics:SystemMetricsInstrumentor.*_config",
        "opentelemetry.instrumentation.system_metrics:SystemMetricsInstrumentor.*_proc",
    ],
    "opentelemetry-exporter-otlp-proto-http": [
        "opentelemetry.exporter.otlp.proto.http._log_exporter:OTLPLogExporter",
    ],
}
STANDARD_LIBRARY = {
    "_current_frames",
    "_thread",
    "_asdict",
    "_exit",
    "_fields",
    "_getframe",
    "_replace",
}  # documented in spite of their form
PATHS = [path for paths in PRIVATE.values() for path in paths]


@pytest.mark.parametrize("path", PATHS)
def test_a_private_name_exists(path: str) -> None:
    module, _, attributes = path.partition(":")
    value: Any = importlib.import_module(module)
    attributes, _, parameter = attributes.removesuffix(")").partition("(")
    for name in attributes.split("."):
        if name.startswith("*"):
            assert name[1:] in _instance_attributes(value)
        else:
            value = getattr(value, name)
    if parameter:
        assert parameter in inspect.signature(value).parameters


def _instance_attributes(cls: type) -> set[str]:
    """What the `__init__` of a class, or of one it inherits from, sets on the instance."""
    functions = (vars(base).get("__init__") for base in cls.__mro__)
    return {
        instruction.argval
        for function in functions
        if inspect.isfunction(function)
        for instruction in dis.get_instructions(function)
        if instruction.opname == "STORE_ATTR"
    }


@pytest.mark.parametrize("name", PRIVATE)
def test_its_distribution_has_an_upper_bound(name: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    requirements = [*project["dependencies"], *extras["server"]]
    requirement = next(line for line in requirements if re.match(rf"{name}(\[\w+\])?[=<>]", line))
    assert re.search(r"==|<", requirement)


@pytest.mark.parametrize("name", PRIVATE)
def test_its_distribution_owns_the_module(name: str) -> None:
    """The bound has to be on this distribution: `chdb._chdb` is not installed by chdb."""
    files = {str(file) for file in distribution(name).files or ()}
    for path in PRIVATE[name]:
        module = path.partition(":")[0].replace(".", "/")
        assert any(file.startswith((f"{module}.", f"{module}/")) for file in files), path


def test_the_loggers_of_the_exporters_exist() -> None:
    for name in delivery._EXPORT_LOGGERS:
        assert importlib.util.find_spec(name), name


def test_a_chunk_of_a_stream_has_the_attributes_of_a_result(engine: Store) -> None:
    connection = engine.connect()
    stream = connection.send_query("SELECT 1", "TSV")
    assert type(connection.streaming_fetch_result(stream)) is _chdb.query_result
    connection.streaming_cancel_query(stream)
    connection.close()


def test_no_other_private_name_is_used() -> None:
    """A new one is added to the list above, and gets a bound in pyproject.toml."""
    known = STANDARD_LIBRARY | {word for path in PATHS for word in re.findall(r"\w+", path)}
    for area in AREAS:
        for path in sorted((ROOT / area).rglob("*.py")):
            for line, name in _private_names(ast.parse(path.read_text())):
                assert name in known, f"{path}:{line}: {name}"


def _private_names(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Underscored names that a module imports, or takes from another object than `self`; without
    those that it defines itself."""
    own = {
        node.name if not isinstance(node, ast.Attribute) else node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        or (isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and _on_self(node))
    }
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Attribute) and not _on_self(node):
            names = [node.attr]
        elif isinstance(node, ast.ImportFrom) and node.module != "__future__":
            names = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [part for alias in node.names for part in alias.name.split(".")]
        for name in names:
            if name.startswith("_") and not name.startswith("__") and name not in own:
                yield node.lineno, name


def _on_self(node: ast.Attribute) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
