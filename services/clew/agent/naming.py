"""The name of a service that nobody named: from its application, its project or its directory."""

from __future__ import annotations

import itertools
import os
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import NamedTuple

_APP = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):[A-Za-z_][\w.]*(?:\(\))?")
_MODULE = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")
# Programs that take a module without the name of an application in it.
_TAKE_MODULES = frozenset({"gunicorn", "dramatiq", "huey_consumer"})

# What a file or module is called in every second project tells services apart no better than
# "service".
_COMMON = frozenset(
    {
        *("__main__", "app", "application", "asgi", "celery", "cli", "main", "manage", "run"),
        *("server", "service", "src", "start", "worker", "wsgi"),
        *("asgi_app", "django_app", "fastapi_app", "flask_app", "web_app", "wsgi_app"),
    }
)
# Programs that start somebody's application, and the options by which they are given it.
_RUNNERS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(
        ("bash", "sh", "dash", "zsh", "env", "python", "uvicorn", "gunicorn", "hypercorn"), ()
    ),
    **dict.fromkeys(
        (
            "granian",
            "daphne",
            "waitress-serve",
            "fastapi",
            "dramatiq",
            "huey_consumer",
            "streamlit",
        ),
        (),
    ),
    "celery": ("-A", "--app"),
    "flask": ("-A", "--app"),
    "rq": (),
    "streamlit": (),
    "uwsgi": ("--module", "-w", "--wsgi-file"),
    "django-admin": ("--settings",),
    "multiprocessing": (),
    "pytest": (),
}
# Options whose value is a module, but not of the application.
_WORKER_OPTIONS = frozenset({"-k", "--worker-class", "--logger-class", "-c", "--config", "--loop"})
_VARIABLES = ("FLASK_APP", "DJANGO_SETTINGS_MODULE")  # how an application is named besides
# The name of the process that started this one, for children that run no application of their own.
INHERITED = "CLEW_PARENT_SERVICE"


class Name(NamedTuple):
    """A service's name, and where it is from."""

    text: str
    source: str


def resolve(environ: MutableMapping[str, str], command: Sequence[str]) -> Name:
    """The name of this process's service; children without an application inherit it."""
    name = given_name(environ) or derived_name(environ, command)
    environ[INHERITED] = name.text
    return name


def own_command() -> list[str]:
    """The command line of this process; sys.orig_argv is empty in a server that embeds Python."""
    if sys.orig_argv:
        return sys.orig_argv
    try:
        return Path("/proc/self/cmdline").read_text(errors="replace").split("\0")[:-1]
    except OSError:
        return []


def given_name(environ: Mapping[str, str]) -> Name | None:
    """The name that the user gave, in either of OpenTelemetry's ways."""
    if name := environ.get("OTEL_SERVICE_NAME"):
        return Name(name, "OTEL_SERVICE_NAME")
    for pair in environ.get("OTEL_RESOURCE_ATTRIBUTES", "").split(","):
        key, _, value = pair.partition("=")
        if key.strip() == "service.name" and value.strip():
            return Name(value.strip(), "OTEL_RESOURCE_ATTRIBUTES")
    return None


def derived_name(environ: Mapping[str, str], command: Sequence[str]) -> Name:
    """The name from the command, as a list of arguments.

    `uvicorn shop.orders:app` is `orders`, `python -m shop.orders` too, and so is
    `python orders/main.py`: the last part of what is started that is not as common as `main` or
    `app`. If all parts are, the project's name (pyproject.toml) counts, then its directory.
    """
    for parts, source in _applications(environ, command):
        if text := next((part for part in reversed(parts) if _tells(part)), ""):
            return Name(text, source)
    if inherited := environ.get(INHERITED):
        return Name(inherited, "the process that started it")
    directory = Path.cwd()
    if project := _project(directory):
        return Name(project, "pyproject.toml")
    return Name(directory.name or "service", "its directory")


def _tells(part: str) -> bool:
    """Whether it tells services apart: neither a common name nor a private module."""
    return part not in _COMMON and not part.startswith("_")


def started_packages(environ: Mapping[str, str], command: Sequence[str]) -> frozenset[str]:
    """The top-level packages that a command starts: `shop` of `uvicorn shop.orders:app`."""
    names = {parts[0] for parts, _ in _applications(environ, command) if parts}
    if (program := _program(command)[0].partition(".")[0]) not in _RUNNERS:
        names.add(program.replace("-", "_"))
    return frozenset(names)


def _applications(
    environ: Mapping[str, str], command: Sequence[str]
) -> Iterator[tuple[list[str], str]]:
    """Names of the application that a command starts, in parts, and where they are from."""
    program, arguments = _program(command)
    options = _RUNNERS.get(program)
    if options is None:
        if program:
            yield _parts(program), "the command"
        return
    skipped = set()
    for argument, following in itertools.pairwise(arguments):
        if argument in _WORKER_OPTIONS:
            skipped.add(following)
        if argument in options:
            yield _parts(following.partition(":")[0]), f"{argument} {following}"
    for before, argument in itertools.pairwise(["", *arguments]):
        if argument in skipped:
            continue
        option, _, value = argument.partition("=")
        if option in options and value:
            yield _parts(value.partition(":")[0]), argument
        if application := _APP.fullmatch(argument):
            yield application[1].split("."), argument
        elif argument.endswith(".py"):
            yield list(Path(argument).absolute().with_suffix("").parts[1:])[-3:], argument
        elif _is_module(program, argument, before):
            yield argument.split("."), argument
    for variable in _VARIABLES:
        if text := environ.get(variable):
            parts = _parts(text.partition(":")[0])
            yield [part for part in parts if part != "settings"], variable


def _is_module(program: str, argument: str, before: str) -> bool:
    """Whether it names a module, and is not the value of the option before it."""
    if program not in _TAKE_MODULES or argument == program or not _MODULE.fullmatch(argument):
        return False
    return "." in argument or not before.startswith("-")


def _program(command: Sequence[str]) -> tuple[str, list[str]]:
    """What a command runs, without an interpreter, and its arguments."""
    words = list(command)
    if not words:
        return "", []
    if not re.fullmatch(r"(python|pypy)[\d.]*", Path(words[0]).name):
        return ("python" if words[0].endswith(".py") else Path(words[0]).name), words
    rest = iter(words[1:])
    for word in rest:
        if word == "-m":
            module = next(rest, "")
            ends = (module.partition(".")[0], module.rpartition(".")[2])
            known = next((end for end in ends if end in _RUNNERS), module)
            return known, list(rest)
        if word == "-c":
            return "python", []
        if word in ("-W", "-X"):
            next(rest, "")
        elif not word.startswith("-"):
            name = Path(word).name
            if name in _RUNNERS:
                return name, list(rest)
            if Path(word).suffix in ("", ".exe"):
                return name, list(rest)  # a console script
            return "python", [word]
    return "python", []


def _parts(text: str) -> list[str]:
    if text.endswith(".py") or os.sep in text:
        return list(Path(text).absolute().with_suffix("").parts[1:])[-3:]
    return text.split(".")


def _project(directory: Path) -> str:
    for place in (directory, *directory.parents[:2]):
        try:
            project = tomllib.loads((place / "pyproject.toml").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        return str(project.get("project", {}).get("name", ""))
    return ""
