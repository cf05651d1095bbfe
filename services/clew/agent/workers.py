"""Workers of uvicorn that get little CPU. Its supervisor kills one that does not answer within five
seconds, and starts another, without end: so in such a worker the agent starts when it can answer,
and before it imports the application.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

_SUPERVISED = "CLEW_SUPERVISED"  # in the environment of a worker, while it is started


def mark_workers(module: Any) -> None:
    """`module` is uvicorn.supervisors.multiprocess, in the process that supervises."""
    start = module.Process.start

    def start_marked(process: Any) -> None:
        os.environ[_SUPERVISED] = "true"
        try:
            start(process)
        finally:
            os.environ.pop(_SUPERVISED, None)

    module.Process.start = start_marked


def start_late(start: Callable[[], None]) -> bool:
    """Whether this process is such a worker, and calls `start` later: when its thread that answers
    runs. Nothing is imported for that but what multiprocessing itself imports."""
    if os.environ.pop(_SUPERVISED, None) is None:
        return False
    from multiprocessing.process import BaseProcess

    run = BaseProcess.run  # of a class of multiprocessing's own

    def run_late(process: Any) -> None:
        BaseProcess.run = run  # type: ignore[method-assign]
        if not _is_arranged(process, start):
            start()
        run(process)

    BaseProcess.run = run_late  # type: ignore[assignment, method-assign]
    return True


def _is_arranged(process: Any, start: Callable[[], None]) -> bool:
    """Whether `start` is called before the server runs. In older releases the worker has the
    server's function, in newer ones the server."""
    worker = getattr(getattr(process, "_kwargs", {}).get("target"), "__self__", None)
    owner: Any = worker if hasattr(worker, "real_target") else getattr(worker, "server", None)
    name = "real_target" if owner is worker else "run"
    serve = getattr(owner, name, None)
    if serve is None:
        return False

    def start_and_serve(*args: Any, **kwargs: Any) -> Any:
        start()
        return serve(*args, **kwargs)

    setattr(owner, name, start_and_serve)
    return True
