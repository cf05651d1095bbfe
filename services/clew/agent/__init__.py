"""Automatic instrumentation, and a small API for services that want to say more:

    from clew.agent import transaction, span, event, counter

Without the agent, or with it switched off, all of it does nothing. Importing this package imports
nothing else; OpenTelemetry's API is imported when a name is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clew.agent.api import (
        bulkhead,
        cache_operation,
        circuit_breaker,
        counter,
        event,
        gauge,
        histogram,
        span,
        transaction,
    )

__all__ = [
    "bulkhead",
    "cache_operation",
    "circuit_breaker",
    "counter",
    "event",
    "gauge",
    "histogram",
    "span",
    "transaction",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from clew.agent import api

    return getattr(api, name)
