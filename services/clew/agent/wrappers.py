"""`opentelemetry-instrument`, by which a service may be started already: its `sitecustomize` would
come before the agent's, and set OpenTelemetry up in its own way, or not at all."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn

_WRAPPER = "opentelemetry-instrument"
_ITS_DIRECTORY = "auto_instrumentation"


def is_wrapper() -> bool:
    """Whether this process only starts another program under OpenTelemetry's own set-up."""
    return any(Path(argument).name == _WRAPPER for argument in sys.orig_argv[:2])


def take_its_place() -> None:
    """Have the program that this process becomes import the agent in place of what the wrapper puts
    first on PYTHONPATH. What the wrapper's flags set holds."""
    become = os.execl
    agent = str(Path(__file__).parent / "boot")

    def become_with_agent(file: str, *arguments: str) -> NoReturn:
        paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        others = [path for path in paths if path and Path(path).name != _ITS_DIRECTORY]
        others = [path for path in others if path != agent]
        os.environ["PYTHONPATH"] = os.pathsep.join([agent, *others])
        become(file, *arguments)

    os.execl = become_with_agent  # type: ignore[assignment]
