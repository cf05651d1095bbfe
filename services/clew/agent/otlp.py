"""The exporter that encodes by itself and posts by itself. It is imported when it first exports."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from typing import Any

from opentelemetry.sdk._logs.export import LogRecordExportResult
from opentelemetry.sdk.metrics.export import MetricExportResult
from opentelemetry.sdk.trace.export import SpanExportResult

from clew.agent import copies
from clew.agent.encoding import Encoder
from clew.agent.points import MetricEncoder
from clew.agent.transport import Client, configured_client


class OtlpExporter:
    """Exports one signal, without secrets."""

    def __init__(self, encode: Callable[[Any], bytes], client: Client, results: Any) -> None:
        self._encode = encode
        self._client = client
        self._results = results

    def export(self, items: Any, *_: Any, **__: Any) -> Any:
        """Export ReadableSpans, log records or a MetricsData. The result is the one that the
        signal's exporters of the SDK have."""
        data = self._encode(items)
        if not data or self._client.send(data):
            return self._results.SUCCESS
        return self._results.FAILURE

    def shutdown(self) -> None:
        """End an export that waits for another attempt."""
        self._client.shutdown()


@cache
def _encoder() -> Encoder:
    return Encoder(copies.configured())


def exporter(signal: str) -> OtlpExporter:
    """The exporter of a signal (traces, metrics or logs), as the environment says."""
    encoder = _encoder()
    encode, results = {
        "traces": (encoder.spans, SpanExportResult),
        "metrics": (MetricEncoder(encoder).metrics, MetricExportResult),
        "logs": (encoder.log_records, LogRecordExportResult),
    }[signal]
    return OtlpExporter(encode, configured_client(signal, os.environ), results)
