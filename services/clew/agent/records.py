"""Log records on their way from the thread that logs to the one that exports."""

from __future__ import annotations

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
