"""The name a service gets when nobody gave it one: it is taken from its command."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

_APP = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):[A-Za-z_][\w.]*(?:\(\))?")

# What a file is called in every second project tells services apart no better than "service".
_COMMON = frozenset(
    {"__main__", "app", "application", "asgi", "main", "manage", "run", "server", "src", "wsgi"}
)


def service_name(command: Sequence[str]) -> str:
    """A service's name from its command, as a list of arguments.

    `uvicorn shop.orders:app` is `orders`, `python -m shop.orders` too, and so is
    `python orders/main.py`: the last part of what is started that is not as common as `main` or
    `app`. A command that starts no Python module is named after its program.
    """
    parts = _application(command)
    return next((part for part in reversed(parts) if part not in _COMMON), parts[-1])


def is_named(environ: Mapping[str, str]) -> bool:
    """Whether the service has been given a name, in either of OpenTelemetry's ways."""
    named_as_attribute = "service.name=" in environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    return named_as_attribute or bool(environ.get("OTEL_SERVICE_NAME"))


def _application(command: Sequence[str]) -> list[str]:
    for argument in command[1:]:
        if application := _APP.fullmatch(argument):
            return application[1].split(".")
    for argument, following in itertools.pairwise(command):
        if argument == "-m":
            return following.split(".")
    for argument in command:
        if argument.endswith(".py"):
            return list(Path(argument).absolute().with_suffix("").parts[1:])
    return [Path(command[0]).name if command else "python"]
