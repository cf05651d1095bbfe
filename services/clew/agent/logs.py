"""Exporting what the service logs, without changing what it logs.

OpenTelemetry's handler is attached to the root logger. There it is in the service's way: with a
handler on the root, `logging.warning()` no longer sets up stderr and the last resort is never
used, so an unconfigured service falls silent; loggers that do not propagate (uvicorn's, with the
tracebacks of failed requests) are never seen; and a bad format string raises inside the service.
So records are exported before the service's own handlers get them, whichever those are, instead.

What a library says below WARNING is exported only where the service's own logging would show it;
what the service's own modules say, always. A line of an access log is left out where a span says
the same.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sysconfig
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from functools import lru_cache

from opentelemetry import context, trace
from opentelemetry._logs import get_logger_provider

from clew.agent import naming, requests, settings

# The agent's and the SDK's own words stay in the process: exporting the complaint that an export
# failed feeds on itself.
_NEVER_EXPORTED = ("opentelemetry", "clew.agent")
# Of servers, a line for each request: a span says the same, in a process that makes such spans.
ACCESS_LOGGERS = (
    *("uvicorn.access", "gunicorn.access", "hypercorn.access", "granian.access", "werkzeug"),
    *("aiohttp.access", "tornado.access", "django.server", "django.channels.server"),
)
# Through these a service's own modules log, too: the file is theirs, the words are the service's.
_LOGGING_LIBRARIES = ("structlog", "loguru")


class AgentLevel(int):
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
        is_ours = _exists_through_us(self, record)
        if (
            record.levelno >= logging.WARNING
            or not is_of_library(record.pathname)
            or (not is_ours and _is_shown(self, record))
        ):
            export(record)
        if not is_ours:
            call_handlers(self, record)

    logging.Logger.callHandlers = export_and_call_handlers  # type: ignore[method-assign]


def is_exported() -> bool:
    """Whether the service's log records are exported: OTEL_PYTHON_LOG_AUTO_INSTRUMENTATION."""
    value = os.environ.get("OTEL_PYTHON_LOG_AUTO_INSTRUMENTATION", "true")
    return value.strip().lower() == "true"


def _lower_root_level() -> None:
    level = _level(settings.value(os.environ, "OTEL_PYTHON_LOG_LEVEL"), default=logging.INFO)
    if level < logging.root.level == logging.WARNING:
        logging.root.setLevel(AgentLevel(level))


def _exists_through_us(logger: logging.Logger, record: logging.LogRecord) -> bool:
    return (
        record.levelno < logging.WARNING
        and type(logging.root.level) is AgentLevel
        and isinstance(logger.getEffectiveLevel(), AgentLevel)
    )


def _is_shown(logger: logging.Logger | None, record: logging.LogRecord) -> bool:
    """Whether a handler of the service's takes the record."""
    while logger is not None:
        for handler in logger.handlers:
            if record.levelno >= handler.level and not isinstance(handler, logging.NullHandler):
                return True
        logger = logger.parent if logger.propagate else None
    return False


@lru_cache(maxsize=4096)
def is_of_library(path: str) -> bool:
    """Whether a file belongs to the standard library or to an installed package, but not to the
    package that this process was started to run."""
    for name in ("purelib", "platlib"):
        if package := _package(path, sysconfig.get_path(name)):
            return package not in (*_LOGGING_LIBRARIES, *_started_packages())
    if f"{os.sep}site-packages{os.sep}" in path or f"{os.sep}dist-packages{os.sep}" in path:
        return True
    return bool(_package(path, sysconfig.get_path("stdlib"))) or path.startswith("<frozen")


def _package(path: str, directory: str) -> str:
    """The package below a directory that a file is of; empty if it is of none."""
    prefix = f"{directory}{os.sep}"
    return path[len(prefix) :].partition(os.sep)[0] if path.startswith(prefix) else ""


@lru_cache(maxsize=1)
def _started_packages() -> frozenset[str]:
    return naming.started_packages(os.environ, naming.own_command())


_is_exporting: ContextVar[bool] = ContextVar("clew_exporting_log_record", default=False)


def _exporter() -> Callable[[logging.LogRecord], None]:
    from clew.agent.capture import Capture  # it stands on the SDK's set-up, and that on this module

    level = _level(os.environ.get("OTEL_PYTHON_LOG_HANDLER_LEVEL"), default=logging.NOTSET)
    has_place = settings.value(os.environ, "OTEL_PYTHON_LOG_CODE_ATTRIBUTES").lower() == "true"
    capture = Capture(get_logger_provider(), has_place=has_place)
    excluded = (*_NEVER_EXPORTED, *_names(settings.value(os.environ, "CLEW_LOG_EXCLUDED")))
    access = tuple(name for name in excluded if name in ACCESS_LOGGERS)
    excluded = tuple(name for name in excluded if name not in ACCESS_LOGGERS)

    @lru_cache(maxsize=4096)
    def kind(name: str) -> tuple[bool, bool, bool]:
        """Whether records of a logger are never exported, are an access log's, are Django's."""
        return _is_below(name, excluded), _is_below(name, access), _is_below(name, ("django",))

    def export(record: logging.LogRecord) -> None:
        if record.levelno < level:
            return
        is_excluded, is_access, is_django = kind(record.name)
        if is_excluded or (is_access and not record.exc_info and requests.have_spans()):
            return
        current = context.get_current()
        if _is_suppressed(current):
            return
        # What is logged while a record's text is made could go on for ever.
        if _is_exporting.get():
            return
        token = _is_exporting.set(True)
        # A record that cannot be rendered is the service's business: its own handlers report it.
        try:
            if record.exc_info or is_django:
                with _failed_request(record):
                    capture.export(record, context.get_current())
            else:
                capture.export(record, current)
        except Exception:  # noqa: S110
            pass
        finally:
            _is_exporting.reset(token)

    return export


def _is_suppressed(current: context.Context) -> bool:
    return bool(
        current.get(context._SUPPRESS_INSTRUMENTATION_KEY)
        or current.get("suppress_instrumentation")
    )


def _is_below(name: str, loggers: tuple[str, ...]) -> bool:
    return any(name == logger or name.startswith(f"{logger}.") for logger in loggers)


@contextlib.contextmanager
def _failed_request(record: logging.LogRecord) -> Iterator[None]:
    """Within the trace of the request that failed with the record's exception: a server logs it
    when the request's span has ended. So does Django, where it answers with an error."""
    span = None
    if not trace.get_current_span().get_span_context().is_valid:
        if record.exc_info:
            span = requests.failed_with(record.exc_info[1])
        elif record.name.startswith("django.") and hasattr(record, "status_code"):
            span = requests.ended_last()
    if span is None:
        yield
        return
    token = context.attach(trace.set_span_in_context(trace.NonRecordingSpan(span)))
    try:
        yield
    finally:
        context.detach(token)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _level(name: str | None, *, default: int) -> int:
    level = logging.getLevelName((name or "").strip().upper())
    return level if isinstance(level, int) else default
