"""What a process tells `clew doctor` of itself, twice a second, as a JSON file in the directory
that CLEW_DOCTOR_DIRECTORY names: its levels of logging, and in which libraries it spends its time.

Without that variable nothing of this is imported.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import sysconfig
from _thread import get_ident, start_new_thread
from collections import Counter
from pathlib import Path
from time import monotonic, sleep
from types import FrameType
from typing import Any

from clew.agent import instrumentations, logs

DIRECTORY = "CLEW_DOCTOR_DIRECTORY"
INTERVAL_S = 0.02  # between two looks at the stacks of all threads
_WRITE_EVERY_S = 0.5
# Where a thread waits that has nothing to do, and where a module is being imported.
_WAITING = ("threading.py", "selectors.py", "queue.py", "socketserver.py", "_base.py", "asyncio")
# Of the standard library, what waits for something outside of the process.
_OUTSIDE = frozenset(
    {"ftplib", "http", "imaplib", "poplib", "smtplib", "subprocess", "urllib", "xmlrpc"}
)
_AGENT = frozenset({"clew", "opentelemetry", "wrapt"})
# What is below these serves, and is not called for an answer.
_SERVERS = frozenset(
    {
        *("uvicorn", "gunicorn", "hypercorn", "granian", "waitress", "cheroot", "werkzeug"),
        *("gevent", "eventlet", "anyio", "click", "typer", "dramatiq", "apscheduler", "rq"),
    }
)


def begin(directory: str) -> None:
    """Report from now on, in this process and in those that are forked from it."""
    report = _Report(Path(directory))
    report.begin()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=report.begin)


class _Report:
    """`samples`: looks at threads that were busy for code of the service's own, by the library
    that this code called; "" for its own."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._samples: Counter[str] = Counter()

    def begin(self) -> None:
        self._samples = Counter()
        pid = os.getpid()
        try:
            self._write(pid)  # before a short process can end
        except Exception as error:
            _give_up(error)
        else:
            start_new_thread(self._run, (pid,))

    def _run(self, pid: int) -> None:
        due = monotonic() + _WRITE_EVERY_S
        while True:
            try:
                self._look()
                if monotonic() >= due:
                    self._write(pid)
                    due = monotonic() + _WRITE_EVERY_S
            except Exception as error:
                _give_up(error)
                return
            sleep(INTERVAL_S)

    def _look(self) -> None:
        current = get_ident()
        for thread, frame in sys._current_frames().items():
            if thread != current and (library := called_library(frame)) is not None:
                self._samples[library] += 1

    def _write(self, pid: int) -> None:
        switched_on = {row.trigger.partition(".")[0] for row in instrumentations.enabled()}
        document: dict[str, Any] = {
            "pid": pid,
            "command": sys.orig_argv,
            "root_level": logging.root.level,
            "root_level_is_ours": isinstance(logging.root.level, logs.AgentLevel),
            "disabled_level": logging.root.manager.disable,
            "interval_s": INTERVAL_S,
            "samples": dict(self._samples),
            "instrumented": sorted(switched_on & self._samples.keys()),
        }
        path = self._directory / f"{pid}.json"
        new = path.with_suffix(".new")
        new.write_text(json.dumps(document))
        new.replace(path)


def _give_up(error: Exception) -> None:
    sys.stderr.write(f"clew: the report for clew doctor ends: {error!r}\n")


def called_library(frame: FrameType | None) -> str | None:
    """The library that the service's own code called and that has not returned: a top-level package
    or module; "" while its own code runs; None for a thread that waits, or runs none of it."""
    if frame is None or _is_waiting(frame):
        return None
    library = ""
    while frame is not None:
        path = frame.f_code.co_filename
        if path.startswith("<frozen importlib"):
            return None
        name = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if name not in _AGENT:
            if not logs.is_of_library(path):
                return None if library in _SERVERS else library
            if not _is_standard(path) or name in _OUTSIDE:
                library = name
        frame = frame.f_back
    return None


def _is_waiting(frame: FrameType) -> bool:
    path = Path(frame.f_code.co_filename)
    return path.name in _WAITING or path.parent.name in _WAITING


def _is_standard(path: str) -> bool:
    if "site-packages" in path or "dist-packages" in path:
        return False
    return path.startswith((sysconfig.get_path("stdlib"), "<frozen"))
