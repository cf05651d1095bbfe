"""The context of a trace goes along into threads, timers and pools of threads.

This is what OpenTelemetry's instrumentation of `threading` does. That one is not used, since every
process imports `threading`, and the packages that it needs are a tenth of a start's CPU.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import wrapt
from opentelemetry import context

_CONTEXT = "_clew_context"


def carry_context(module: Any) -> None:
    """Have threads run in the context in which they are started, and calls of pools in that in
    which they are submitted. `module`: threading."""
    wrapt.wrap_function_wrapper(module, "Thread.start", _start)
    wrapt.wrap_function_wrapper(module, "Thread.run", _run)
    wrapt.wrap_function_wrapper(module, "Timer.run", _run)
    wrapt.register_post_import_hook(_carry_into_pools, "concurrent.futures.thread")


def _carry_into_pools(module: Any) -> None:
    wrapt.wrap_function_wrapper(module, "ThreadPoolExecutor.submit", _submit)


def _start(wrapped: Callable[..., Any], thread: Any, args: Any, kwargs: Any) -> Any:
    if current := context.get_current():
        setattr(thread, _CONTEXT, current)
    return wrapped(*args, **kwargs)


def _run(wrapped: Callable[..., Any], thread: Any, args: Any, kwargs: Any) -> Any:
    started_in = getattr(thread, _CONTEXT, None)
    if started_in is None:
        return wrapped(*args, **kwargs)
    return _call_in(started_in, wrapped, *args, **kwargs)


def _submit(wrapped: Callable[..., Any], _pool: Any, args: Any, kwargs: Any) -> Any:
    if not args:  # the pool says what is wrong
        return wrapped(**kwargs)
    # Also without a context: the thread of the pool may have been started in another one.
    return wrapped(_call_in, context.get_current(), *args, **kwargs)


def _call_in(current: Any, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    token = context.attach(current)
    try:
        return function(*args, **kwargs)
    finally:
        context.detach(token)
