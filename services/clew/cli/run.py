"""`clew run`: start a command with automatic instrumentation, without changing its code."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from clew import agent

_COMMAND_NOT_FOUND = 127
_COMMAND_NOT_EXECUTABLE = 126


def run(command: list[str], *, service_name: str | None, endpoint: str | None) -> NoReturn:
    """Become `command`, instrumented. Does not return.

    `endpoint` is the base address of an OTLP HTTP receiver. Raises SystemExit, with a message on
    stderr: status 127 if there is no such command, 126 if it cannot be executed, 2 if it is empty.
    """
    if not command:
        _fail("no command python_path; for example: clew run -- python app.py", 2)
    env = environment(command, service_name=service_name, endpoint=endpoint)
    try:
        os.execvpe(command[0], command, env)  # noqa: S606 - becoming another program is the point
    except FileNotFoundError:
        _fail(f"command not found: {command[0]}", _COMMAND_NOT_FOUND)
    except OSError as error:
        _fail(f"cannot execute {command[0]}: {error.strerror}", _COMMAND_NOT_EXECUTABLE)


def environment(
    command: Sequence[str],
    *,
    service_name: str | None = None,
    endpoint: str | None = None,
    base: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """The whole environment in which `command` starts instrumented; `base` is by default ours."""
    env = dict(os.environ if base is None else base)
    env["PYTHONPATH"] = _python_path(env.get("PYTHONPATH", ""))
    if endpoint:
        env["OTEL_EXPORTER_OTLP_ENDPOINT"] = endpoint
    if service_name:
        env["OTEL_SERVICE_NAME"] = service_name
    return env


def _python_path(python_path: str) -> str:
    # Python imports the `sitecustomize` that it finds first: this directory's starts the agent.
    hook = str(Path(agent.__file__ or "").parent / "boot")
    paths = [part for part in python_path.split(os.pathsep) if part and part != hook]
    return os.pathsep.join([hook, *paths])


def _fail(message: str, status: int) -> NoReturn:
    print(f"clew run: {message}", file=sys.stderr)
    raise SystemExit(status)
