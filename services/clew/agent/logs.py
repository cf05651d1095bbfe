"""Exporting what the service logs, without changing what it logs.

OpenTelemetry's handler is attached to the root logger. There it is in the service's way: with a
handler on the root, `logging.warning()` no longer sets up stderr and the last resort is never
used, so an unconfigured service falls silent; loggers that do not propagate (uvicorn's, with the
tracebacks of failed requests) are never seen; and a bad format string raises inside the service.
So the handler is called before the service's own handlers, whichever they are, instead.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable

from opentelemetry._logs import get_logger_provider
from opentelemetry.instrumentation.logging.handler import LoggingHandler
from opentelemetry.instrumentation.utils import is_instrumentation_enabled

from clew.agent import settings

# The agent's and the SDK's own words stay in the process: exporting the complaint that an export
# failed feeds on itself.
_NEVER_EXPORTED = ("opentelemetry", "clew.agent")


class _AgentLevel(int):
    """A level that the agent gave the root logger; any that the service sets replaces it."""


def capture_logs() -> None:
    """Export every record that reaches the handlers of any logger, from now on.

    Records below WARNING from loggers whose level nobody set would not exist without us: they are
    exported (from OTEL_PYTHON_LOG_LEVEL up) and kept from the service's own handlers.
    """
    _lower_root_level()
    export = _exporter()
    call_handlers = logging.Logger.callHandlers

    def export_and_call_handlers(self: logging.Logger, record: logging.LogRecord) -> None:
        export(record)
        if not _exists_through_us(self, record):
            call_handlers(self, record)

    logging.Logger.callHandlers = export_and_call_handlers  # type: ignore[method-assign]


def is_exported() -> bool:
    """Whether the service's log records are exported: OTEL_PYTHON_LOG_AUTO_INSTRUMENTATION."""
    value = os.environ.get("OTEL_PYTHON_LOG_AUTO_INSTRUMENTATION", "true")
    return value.strip().lower() == "true"


def _lower_root_level() -> None:
    level = _level(settings.value(os.environ, "OTEL_PYTHON_LOG_LEVEL"), default=logging.INFO)
    if level < logging.root.level == logging.WARNING:
        logging.root.setLevel(_AgentLevel(level))


def _exists_through_us(logger: logging.Logger, record: logging.LogRecord) -> bool:
    return record.levelno < logging.WARNING and isinstance(logger.getEffectiveLevel(), _AgentLevel)


def _exporter() -> Callable[[logging.LogRecord], None]:
    handler = LoggingHandler(
        level=_level(os.environ.get("OTEL_PYTHON_LOG_HANDLER_LEVEL"), default=logging.NOTSET),
        logger_provider=get_logger_provider(),
        log_code_attributes=os.environ.get("OTEL_PYTHON_LOG_CODE_ATTRIBUTES", "").lower() == "true",
    )
    # Otherwise the end of the process flushes it once more, after the providers are closed.
    handler.flush = lambda: None  # type: ignore[method-assign]
    excluded = (*_NEVER_EXPORTED, *_names(settings.value(os.environ, "CLEW_LOG_EXCLUDED")))
    excluded_below = tuple(f"{name}." for name in excluded)

    def export(record: logging.LogRecord) -> None:
        if record.levelno < handler.level or not is_instrumentation_enabled():
            return
        if record.name in excluded or record.name.startswith(excluded_below):
            return
        # A record that cannot be rendered is the service's business: its own handlers report it.
        with contextlib.suppress(Exception):
            handler.handle(record)

    return export


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _level(name: str | None, *, default: int) -> int:
    level = logging.getLevelName((name or "").strip().upper())
    return level if isinstance(level, int) else default
