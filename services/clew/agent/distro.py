"""The two entry points by which OpenTelemetry's auto-instrumentation finds the agent.

With OTEL_PYTHON_DISTRO=clew and OTEL_PYTHON_CONFIGURATOR=clew (`clew run` sets both) the distro
gives every setting its default, the configurator sets up the SDK, and then each installed
instrumentation goes through the distro. What fails on the way is logged once and left out: the
service runs as it does without the agent.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from typing import Any

from opentelemetry.instrumentation import auto_instrumentation
from opentelemetry.instrumentation.distro import BaseDistro  # type: ignore[attr-defined]
from opentelemetry.processor.baggage import BaggageLogProcessor, BaggageSpanProcessor
from opentelemetry.sdk._configuration import _OTelSDKConfigurator
from opentelemetry.util._importlib_metadata import EntryPoint

from clew.agent import delivery, logs, naming, settings

_log = logging.getLogger(__name__)

_BUSINESS_PREFIX = "business."

# Libraries newer than their instrumentation claims to know, with which it was found to work: our
# tests run on them. Without this they would be left out, with an error on stderr.
_PROVEN_VERSIONS = ("sqlalchemy 2.1.",)


class ClewDistro(BaseDistro):  # type: ignore[misc]
    """Defaults for every setting, and each instrumentation's arguments."""

    def _configure(self, **_kwargs: Any) -> None:
        settings.apply_defaults(os.environ)
        if not naming.is_named(os.environ):
            os.environ["OTEL_SERVICE_NAME"] = naming.service_name(sys.orig_argv)
        # FastAPI can attach exporters of its own to our providers, next to ours: everything would
        # be sent twice.
        os.environ["FASTAPI_OTEL_AUTO_CONFIGURE"] = "false"
        _accept_proven_versions()

    def load_instrumentor(self, entry_point: EntryPoint, **kwargs: Any) -> None:
        """Switch one instrumentation on. One that fails is logged; the others go on."""
        if _is_off():
            return
        try:
            _instrument(entry_point, kwargs)
        except ImportError:
            # The caller knows which of these are ordinary: the library is simply not installed.
            raise
        except Exception:
            _log.exception("clew: instrumenting %s failed, going on without it", entry_point.name)


class ClewConfigurator(_OTelSDKConfigurator):
    """The SDK: three signals, baggage stamped on spans and log records, a bounded end."""

    def _configure(self, **kwargs: Any) -> None:
        if _is_off():
            return
        super()._configure(  # type: ignore[no-untyped-call]
            span_processors=[BaggageSpanProcessor(_is_business)],
            log_record_processors=[BaggageLogProcessor(_is_business)],
            export_span_processor=delivery.SpanDelivery,
            export_log_record_processor=delivery.LogDelivery,
            **kwargs,
        )
        delivery.limit_complaints()
        delivery.flush_at_end()


def _accept_proven_versions() -> None:
    loader: Any = auto_instrumentation._load
    find_conflict = loader.get_dist_dependency_conflicts

    def find_unproven_conflict(*args: Any) -> Any:
        conflict = find_conflict(*args)
        version = conflict.found if conflict else None
        is_proven = version is not None and version.lower().startswith(_PROVEN_VERSIONS)
        return None if is_proven else conflict

    loader.get_dist_dependency_conflicts = find_unproven_conflict


def _instrument(entry_point: EntryPoint, kwargs: dict[str, Any]) -> None:
    if entry_point.name == "fastapi":
        # A span for each message of a request or response doubles the cost and says nothing.
        kwargs["exclude_spans"] = ["send", "receive"]
    if entry_point.name == "logging":
        kwargs["enable_log_auto_instrumentation"] = False
    instrumentor = entry_point.load()()
    # SQLAlchemy 2.1 has no asyncio part unless greenlet is installed. It comes last, and then
    # there is nothing in it to instrument.
    absent_part = (ImportError,) if entry_point.name == "sqlalchemy" else ()
    with contextlib.suppress(*absent_part):
        instrumentor.instrument(**kwargs)
    if entry_point.name == "logging" and _exports_logs():
        logs.capture_logs()
    if entry_point.name == "system_metrics":
        _measure_self_after_fork(instrumentor)


def _measure_self_after_fork(instrumentor: Any) -> None:
    # The instrumentation keeps the process that it was made in: a forked worker would report its
    # parent's memory and CPU as its own.
    def measure_self() -> None:
        instrumentor._proc = type(instrumentor._proc)(os.getpid())

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=measure_self)


def _exports_logs() -> bool:
    return os.environ.get("OTEL_PYTHON_LOG_AUTO_INSTRUMENTATION", "true").strip().lower() == "true"


def _is_business(key: str) -> bool:
    return key.startswith(_BUSINESS_PREFIX)


def _is_off() -> bool:
    disabled = os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    return disabled or _is_bookkeeper(sys.orig_argv)


def _is_bookkeeper(command: list[str]) -> bool:
    # multiprocessing starts this interpreter on the side, to clean up after its pools and queues;
    # it runs none of the service's code and would only report metrics of itself.
    return any("multiprocessing.resource_tracker" in argument for argument in command)
