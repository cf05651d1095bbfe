"""Services that gevent patches.

What `gevent.monkey.patch_all()` puts in the place of threads and locks does not get along with
threads that run already: one that holds a lock makes the service's own wait for it raise. So the
agent's threads end before the patch, and start again after it, as greenlets.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import wrapt
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics._internal import export as _reading

from clew.agent import delivery, exporting

_PATIENCE_S = 1.0  # for a thread that ends


def restart_threads_around_patches(*others: Any) -> None:
    """`others` have threads besides those of the SDK: pause() ends them, resume() starts them."""

    def patch_all(wrapped: Any, _instance: Any, args: Any, kwargs: Any) -> Any:
        resumes = [_pause_batches(), *_pause_readers()]
        for other in others:
            other.pause()
        try:
            return wrapped(*args, **kwargs)
        finally:
            exporting.importing.renew()
            for resume in (*resumes, *(other.resume for other in others)):
                resume()

    def patch(module: Any) -> None:
        wrapt.wrap_function_wrapper(module, "patch_all", patch_all)

    wrapt.register_post_import_hook(patch, "gevent.monkey")


def _pause_batches() -> Callable[[], None]:
    """End the threads of the batch processors. What waits to be sent goes on waiting."""
    batches = delivery.batches()
    for batch in batches:
        batch._shutdown = batch._shutdown_timeout_exceeded = True
        batch._worker_awaken.set()
        batch._worker_thread.join(_PATIENCE_S)

    def resume() -> None:
        for batch in batches:
            waiting = list(batch._queue)
            batch._shutdown = batch._shutdown_timeout_exceeded = False
            batch._at_fork_reinit()
            batch._queue.extend(waiting)

    return resume


def _pause_readers() -> list[Callable[[], None]]:
    """End the threads that read metrics, without the reading with which they would end."""
    return [
        _pause_reader(reader)
        for reader in list(MeterProvider._all_metric_readers)
        if getattr(reader, "_daemon_thread", None) is not None
    ]


def _pause_reader(reader: Any) -> Callable[[], None]:
    reader.collect = lambda **_: None
    reader._shutdown_event.set()
    reader._daemon_thread.join(_PATIENCE_S)

    def resume() -> None:
        del reader.collect
        reader._shutdown_event = threading.Event()
        reader._export_lock = threading.Lock()
        _reading.Thread = threading.Thread  # type: ignore[attr-defined]
        reader._at_fork_reinit()

    return resume
