"""`clew run`: start a command with automatic instrumentation, without changing its code."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from clew import agent
from clew.cli.settings import UsageError

_PYTHON = re.compile(r"(python|pypy)[\d.]*")
_COMMAND_NOT_FOUND = 127
_COMMAND_NOT_EXECUTABLE = 126


def run(command: list[str], *, service_name: str | None, endpoint: str | None) -> NoReturn:
    """Become `command`, instrumented. Does not return.

    `endpoint` is the base address of an OTLP HTTP receiver. Raises SystemExit, with a message on
    stderr: status 127 if there is no such command, 126 if it cannot be executed, 2 if it is empty.
    """
    if not command:
        _fail("no command; for example: clew run -- python app.py", 2)
    with suppress(UsageError):  # what cannot be read cannot be executed: that is said below
        if option := _ignores_the_environment(_interpreter(command)[1:]):
            print(
                f"clew: not instrumented: python {option} ignores PYTHONPATH, by which the agent "
                "starts. Leave the option out, or use -P and -s",
                file=sys.stderr,
            )
    env = environment(command, service_name=service_name, endpoint=endpoint)
    try:
        os.execvpe(command[0], command, env)  # noqa: S606 - becoming another program is the point
    except FileNotFoundError:
        _fail(f"command not found: {command[0]}", _COMMAND_NOT_FOUND)
    except OSError as error:
        _fail(f"cannot execute {command[0]}: {error.strerror}", _COMMAND_NOT_EXECUTABLE)


def install(command: list[str]) -> None:
    """Install the instrumentations that are missing in the environment of the command's Python,
    where that changes nothing that is installed; clew.agent.install says on stderr what it did."""
    try:
        python, note = python_of(command)
    except UsageError:
        return  # what starts the command says so
    if note:
        print(
            f"clew: nothing is installed: {command[0]} is no Python program. In the environment "
            "of the service: python -m clew.agent.install",
            file=sys.stderr,
        )
        return
    result = subprocess.run(
        [python, "-m", "clew.agent.install"],
        env={**os.environ, "PYTHONSAFEPATH": "1"},
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        stderr=subprocess.PIPE,
        text=True,
    )
    lines = result.stderr.splitlines(keepends=True)
    sys.stderr.writelines(line for line in lines if line.startswith("clew: "))
    if result.returncode:
        print(f"clew: nothing is installed: {(lines or ['?'])[-1].strip()}", file=sys.stderr)


def explain(command: list[str], *, service_name: str | None, endpoint: str | None) -> int:
    """Say what `run` would do, without starting the command; returns the exit status."""
    python, note = python_of(command)
    env = environment(command, service_name=service_name, endpoint=endpoint)
    env["PYTHONPATH"] = os.environ.get("PYTHONPATH", "")  # the agent is not started
    result = subprocess.run(
        [python, "-m", "clew.agent.explain", *command], env=env, capture_output=True, text=True
    )
    if result.returncode:
        reason = result.stderr.strip().rpartition("\n")[2]
        print(f"clew run: {python} cannot import clew ({reason}): {python} -m pip install clew")
        return 1
    print(f"command        {shlex.join(command)}{note}")
    print(result.stdout, end="")
    return 0


def python_of(command: list[str]) -> tuple[str, str]:
    """The Python that a command runs in, by its name or the first line of its script, else this
    one; and what to say about it. Raises UsageError for a command that cannot be read."""
    if words := _interpreter(command):
        return words[0], ""
    return sys.executable, " (no Python program: each Python that it starts is instrumented)"


def _interpreter(command: list[str]) -> list[str]:
    """The Python that a command runs in, then its arguments there as far as they are known; empty
    for a command of another kind. Raises UsageError for a command that cannot be read."""
    program = shutil.which(command[0]) or command[0]
    if _PYTHON.fullmatch(Path(program).name):
        return [program, *command[1:]]
    try:
        with open(program, "rb") as file:
            first, second = (file.readline(500).decode(errors="replace") for _ in range(2))
    except OSError as error:
        raise UsageError(f"run: {command[0]}: {error.strerror}") from error
    # The script of an environment whose path is long, or has a space.
    if first.startswith("#!/bin/sh") and second.startswith("'''exec' "):
        return shlex.split(second.removeprefix("'''exec'"))
    words = first.removeprefix("#!").split() if first.startswith("#!") else []
    while words and "python" not in Path(words[0]).name:
        words.pop(0)
    return [shutil.which(words[0]) or words[0], *words[1:]] if words else []


def _ignores_the_environment(arguments: Sequence[str]) -> str:
    """The option by which Python takes no PYTHONPATH, so that the agent does not start; or ""."""
    rest = iter(arguments)
    for word in rest:
        if word.startswith("--"):
            if word == "--check-hash-based-pycs":
                next(rest, "")
            continue
        match = re.fullmatch(r"-(?=.)([^cmWX]*)([cmWX]?)(.*)", word)
        if match is None:  # the program: what follows is its own
            break
        flags, last, value = match.groups()
        if option := next((option for option in "IE" if option in flags), ""):
            return f"-{option}"
        if last in ("c", "m"):
            break
        if last and not value:
            next(rest, "")
    return ""


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
