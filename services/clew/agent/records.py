"""Log records on their way from the thread that logs to the one that exports."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from typing import Any, NamedTuple


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
