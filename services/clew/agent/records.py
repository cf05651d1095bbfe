"""Log records on their way from the thread that logs to the one that exports."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Mapping
from typing import Any, NamedTuple

_SEVERITY_TEXTS = {"WARNING": "WARN", "CRITICAL": "FATAL"}  # OpenTelemetry's for Python's


class CapturedRecord(NamedTuple):
    """What the thread that logs knows of a log record, and nobody may change any more. The thread
    that exports shapes and encodes it.

    time, observed_time: nanoseconds since the epoch. level, level_name: as in `logging`. place:
    file, function and line of the call. attributes: as OTLP has them, without those of the place.
    logger: the SDK's, which has the scope and the resource. span_context: of the current span, or
    INVALID_SPAN_CONTEXT.
    """

    time: int
    observed_time: int
    level: int
    level_name: str
    body: str
    place: tuple[str, str, int] | None
    attributes: Mapping[str, Any] | None
    logger: Any
    span_context: Any


def exception_attributes(error: BaseException, trace: Any) -> dict[str, str]:
    """The attributes of an exception and its traceback, named as on spans: one that a span and a
    log record report counts once."""
    module, name = type(error).__module__, type(error).__qualname__
    attributes = {
        "exception.type": name if module == "builtins" else f"{module}.{name}",
        "exception.message": str(error),
    }
    if trace is not None:
        lines = traceback.format_exception(type(error), error, trace)
        attributes["exception.stacktrace"] = "".join(lines)
    return attributes


def severity_number(level: int) -> int:
    """OpenTelemetry's severity of a level of `logging`: 1 to 24, or 0 below DEBUG."""
    if level < logging.DEBUG:
        return 0
    tens, units = divmod(min(level, 53), 10)
    return 4 * tens + 1 + min(units, 3)


def severity_text(level_name: str) -> str:
    """OpenTelemetry's name of a level of `logging`."""
    return _SEVERITY_TEXTS.get(level_name, level_name)


def place_attributes(place: tuple[Any, Any, Any]) -> dict[str, Any]:
    """The attributes of file, function and line of a call."""
    path, function, line = place
    return {"code.file.path": path, "code.function.name": function, "code.line.number": line}
