"""The short way of a log record: from `logging` to the agent's exporter, past the SDK's objects.

It is taken where nobody could tell the difference. A processor that the service adds to the
provider, an exporter of another kind, attributes that the SDK would cut or convert: then the record
goes the SDK's way, as OpenTelemetry's own handler sends it.
"""

from __future__ import annotations

import logging
import sys
from time import time_ns
from types import NoneType
from typing import Any

from opentelemetry import trace
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.context import Context

from clew.agent import delivery, sdk
from clew.agent.business.carried import BusinessRecords, attributes_in
from clew.agent.records import (
    CapturedRecord,
    exception_attributes,
    place_attributes,
    severity_number,
    severity_text,
)

# What every record has, and what formatters set.
_STANDARD = frozenset(vars(logging.makeLogRecord({})))
_RESERVED = _STANDARD | {"asctime", "getMessage", "message", "taskName"}
_PLACE = 3  # attributes
_EVENT_NAMES = ("otel.event.name", "event.name")  # the first wins
_PLAIN = frozenset({bool, int, float, str, NoneType})


class Capture:
    """Takes log records for a provider as the agent has set it up."""

    def __init__(self, provider: Any, *, has_place: bool) -> None:
        self._provider = provider
        self._has_place = has_place
        self._loggers: dict[str, Any] = {}
        self._multi = getattr(provider, "_multi_log_record_processor", None)
        self._processors = getattr(self._multi, "_log_record_processors", None)
        self._delivery = self._only_delivery()
        limits = sdk.log_record_limits(provider)
        self._most_attributes = sys.maxsize if limits.attributes is None else limits.attributes
        self._longest = sys.maxsize if limits.length is None else limits.length

    def _only_delivery(self) -> delivery.LogDelivery | None:
        """The one processor that delivers, if it can take what is captured."""
        others = [item for item in self._processors or () if type(item) is not BusinessRecords]
        if len(others) != 1 or not isinstance(others[0], delivery.LogDelivery):
            return None
        return others[0] if others[0].takes_captured else None

    def export(self, record: logging.LogRecord, context: Context) -> None:
        """Export a record as one of a context. Raises as `take`."""
        if not self.take(record, context):
            self.emit(record, context)

    def take(self, record: logging.LogRecord, context: Context) -> bool:
        """Queue the record; False if it has to go the SDK's way. Raises what the service's own
        `__str__` raises."""
        place = self._place(record)
        if (
            self._delivery is None
            or self._multi._log_record_processors is not self._processors  # type: ignore[union-attr]
            or (place and not self._fits(place))
        ):
            return False
        logger = self._loggers.get(record.name) or self._logger(record.name)
        if logger is None or not logger._is_enabled():
            return False
        attributes = vars(record)
        if len(attributes) > len(_STANDARD) or record.exc_info:
            attributes = _further_attributes(record)
            if not self._are_plain(attributes):
                return False
        else:
            attributes = {}
        business = attributes_in(context)
        captured = CapturedRecord(
            int(record.created * 1e9),
            time_ns(),
            record.levelno,
            record.levelname,
            record.getMessage(),
            place,
            {**business, **attributes} if business else attributes,
            logger,
            trace.get_current_span(context).get_span_context(),
        )
        logger._logger_metrics.emit_log()  # the SDK's own, where they are on
        self._delivery.take(captured)
        return True

    def emit(self, record: logging.LogRecord, context: Context) -> None:
        """Hand the record to the SDK."""
        attributes = _further_attributes(record)
        names = [attributes.pop(key, None) for key in _EVENT_NAMES]
        if place := self._place(record):
            attributes |= place_attributes(place)
        translated = LogRecord(
            timestamp=int(record.created * 1e9),
            observed_timestamp=time_ns(),
            context=context or None,
            severity_text=severity_text(record.levelname),
            severity_number=SeverityNumber(severity_number(record.levelno)),
            body=record.getMessage(),
            attributes=attributes,
        )
        translated.event_name = next((name for name in names if name is not None), None)
        self._provider.get_logger(record.name).emit(translated)

    def _place(self, record: logging.LogRecord) -> tuple[str, str, int] | None:
        return (record.pathname, record.funcName, record.lineno) if self._has_place else None

    def _logger(self, name: str) -> Any:
        """The SDK's logger of this name; None for one of another kind."""
        logger = self._provider.get_logger(name)
        if all(hasattr(logger, name) for name in ("_is_enabled", "_logger_metrics", "resource")):
            self._loggers[name] = logger
            return logger
        return None

    def _fits(self, place: tuple[Any, Any, Any]) -> bool:
        path, function, _ = place
        return (
            type(path) is type(function) is str
            and len(path) <= self._longest
            and len(function) <= self._longest
            and self._most_attributes >= _PLACE
        )

    def _are_plain(self, attributes: dict[str, Any]) -> bool:
        """Whether the SDK would take them as they are."""
        if len(attributes) + _PLACE > self._most_attributes:
            return False
        for key, value in attributes.items():
            kind = type(value)
            if type(key) is not str or not key or key in _EVENT_NAMES or kind not in _PLAIN:
                return False
            if kind is str and len(value) > self._longest:
                return False
        return True


def _further_attributes(record: logging.LogRecord) -> dict[str, Any]:
    """What the caller added to a record, and its exception."""
    attributes = {key: item for key, item in vars(record).items() if key not in _RESERVED}
    if record.exc_info:
        _, error, trace = record.exc_info
        attributes |= {} if error is None else exception_attributes(error, trace)
    return attributes
