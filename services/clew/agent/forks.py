"""Forks that Python is not told of.

uWSGI forks its workers in C and runs none of the functions that were registered for that: a worker
would have the process id of its parent, and no thread that exports.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import wrapt

from clew.agent import exporting

_IMPORTED_BY_THREADS = (
    *("clew.agent.copies", "clew.agent.otlp"),
    "opentelemetry.instrumentation.system_metrics",
)
_in_child: list[Callable[[], Any]] = []
_pid = os.getpid()


def is_embedded() -> bool:
    """Whether another program than Python runs Python: that one forks, and handles signals."""
    return not sys.orig_argv


def prepare() -> None:
    """Import at once what threads of the agent's import elsewhere: a worker that is forked in the
    middle of an import could never import that module."""
    for name in _IMPORTED_BY_THREADS:
        with contextlib.suppress(Exception):
            import_module(name)
    _in_child.append(exporting.importing.renew)


@contextlib.contextmanager
def registrations() -> Iterator[None]:
    """Within, keep in mind what is registered to run in forked children: uWSGI's run it too."""
    if not is_embedded():
        yield
        return
    register = os.register_at_fork

    def keep(**functions: Any) -> None:
        register(**functions)
        if "after_in_child" in functions and "before" not in functions:
            _in_child.append(functions["after_in_child"])

    os.register_at_fork = keep
    try:
        yield
    finally:
        os.register_at_fork = register
    register(after_in_child=_take_note)
    wrapt.register_post_import_hook(_chain_decorators, "uwsgidecorators")


def _take_note() -> None:
    global _pid
    _pid = os.getpid()


def look() -> None:
    """Catch up if this process was forked. Else see to being called when it is: uWSGI's module
    appears after the start of Python, and workers may be forked before they load the service."""
    if not _in_child:
        return
    if os.getpid() != _pid:
        _take_note()
        for function in _in_child:
            with contextlib.suppress(Exception):
                function()
    uwsgi: Any = sys.modules.get("uwsgi")
    if uwsgi is not None and not hasattr(uwsgi, "post_fork_hook"):
        uwsgi.post_fork_hook = look


def _chain_decorators(module: Any) -> None:
    """It sets the one hook that there is, and calls what is in its list."""
    module.postfork_chain.append(look)
