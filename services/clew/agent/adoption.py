"""Providers that the service sets itself.

OpenTelemetry lets a provider be set once, and the agent's is first: a service that sets its own
would be refused, and its exporters would get nothing. So the first provider that the service sets
becomes the global one. It gets the agent's processors, and the spans and log records of the
instrumentations, which came first and keep the agent's provider, go to the service's processors.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from opentelemetry import _logs, metrics, trace
from opentelemetry._logs import _internal as logs_api
from opentelemetry.metrics import _internal as metrics_api

_log = logging.getLogger(__name__)


def adopt_providers() -> None:
    """From now on the first provider of each signal that the service sets is the global one."""
    _adopt("set_tracer_provider", "_TRACER_PROVIDER", _join_tracing, trace)
    _adopt("set_logger_provider", "_LOGGER_PROVIDER", _join_logging, logs_api, _logs)
    _adopt("set_meter_provider", "_METER_PROVIDER", _join_metrics, metrics_api, metrics)


def _adopt(setter: str, variable: str, join: Callable[[Any, Any], None], *modules: Any) -> None:
    """`modules`: those that have the setter, the one with the variable first."""
    state = modules[0]
    refuse = getattr(state, setter)
    agent_provider = getattr(state, variable)

    def set_provider(provider: Any) -> None:
        is_first = getattr(state, variable) is agent_provider is not None
        if not is_first or provider is agent_provider:
            refuse(provider)
            return
        try:
            join(agent_provider, provider)
        except Exception as error:
            _log.warning("clew: %s: nothing of it is sent to clew: %r", setter, error)
        setattr(state, variable, provider)

    for module in modules:
        setattr(module, setter, set_provider)


class _Onward:
    """A processor that hands on to those of another provider, without those that it has from us."""

    def __init__(self, processors: Any, left_out: tuple[Any, ...]) -> None:
        self._processors = processors
        self._left_out = left_out

    def _others(self) -> list[Any]:
        return [processor for processor in self._processors() if processor not in self._left_out]

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        for processor in self._others():
            processor.on_start(span, parent_context)

    def _on_ending(self, span: Any) -> None:
        for processor in self._others():
            processor._on_ending(span)

    def on_end(self, span: Any) -> None:
        for processor in self._others():
            processor.on_end(span)

    def on_emit(self, record: Any) -> None:
        for processor in self._others():
            processor.on_emit(record)

    def shutdown(self) -> None:
        """The service shuts its provider down itself."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return True


def _join_tracing(agent_provider: Any, provider: Any) -> None:
    agent_processors = tuple(agent_provider._active_span_processor._span_processors)
    for processor in agent_processors:
        provider.add_span_processor(processor)
    agent_provider.add_span_processor(
        _Onward(lambda: provider._active_span_processor._span_processors, agent_processors)
    )


def _join_logging(agent_provider: Any, provider: Any) -> None:
    agent_processors = tuple(agent_provider._multi_log_record_processor._log_record_processors)
    for processor in agent_processors:
        provider.add_log_record_processor(processor)
    agent_provider.add_log_record_processor(
        _Onward(
            lambda: provider._multi_log_record_processor._log_record_processors, agent_processors
        )
    )


def _join_metrics(agent_provider: Any, provider: Any) -> None:
    """What the service measures with its provider, its own readers read, and a further one of the
    agent's kind."""
    from clew.agent import delivery

    delivery.add_reader(provider)
