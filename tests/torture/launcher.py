"""`clew` with faults that a test turns on: in its engine, in its clock, and a kill at a given call.

A switch is a file in the directory CLEW_TORTURE; its content is the switch's value. clew itself has
no code for this: its functions are wrapped here.

    stopped          while it exists, no insert starts
    slow             seconds that are added to every insert
    failing          the share of inserts that fail before they start
    reply-lost       the share of inserts that succeed, and then report a failure
    clock            seconds that are added to the clock
    hasty            the settler and its steps run without long pauses; read once, at the start
    unasked          segments are loaded soon though nobody reads; read once, at the start
    kill             `before|after module:Name.of.function n [text]`: the process kills itself with
                     SIGKILL before the n-th call, or after the n-th that raised nothing, of those
                     with the text in their arguments; read once, at the start
"""

from __future__ import annotations

import importlib
import itertools
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SWITCHES = Path(os.environ["CLEW_TORTURE"])


def value(switch: str) -> float:
    """The value of the switch; 0 when it is off."""
    try:
        return float((SWITCHES / switch).read_text() or 0)
    except (OSError, ValueError):
        return 0.0


def wrap_inserts() -> None:
    from clew.storage import Ingest, InsertError

    chance = random.Random(1)

    def with_faults(insert: Callable[..., Any]) -> Callable[..., Any]:
        def attempt(self: Ingest, *arguments: Any) -> Any:
            time.sleep(value("slow"))
            while (SWITCHES / "stopped").exists():
                time.sleep(0.05)
            if chance.random() < value("failing"):
                raise InsertError("torture: the engine fails")
            stored = insert(self, *arguments)
            if chance.random() < value("reply-lost"):
                raise InsertError("torture: the reply is lost")
            return stored

        return attempt

    for name in ("load", "reload"):
        setattr(Ingest, name, with_faults(getattr(Ingest, name)))


def wrap_clock() -> None:
    time_ns, seconds = time.time_ns, time.time
    time.time_ns = lambda: time_ns() + int(value("clock") * 1e9)
    time.time = lambda: seconds() + value("clock")


def shorten_pauses() -> None:
    from clew.analysis.traces import settler
    from clew.analysis.traces.attributes import Attributes
    from clew.analysis.traces.edges import Edges

    for owner, pause in (
        (settler, "MIN_REST"), (settler, "REST_FACTOR"), (Edges, "every"), (Attributes, "every")
    ):  # fmt: skip
        assert hasattr(owner, pause)
        setattr(owner, pause, 0.1)


def load_unasked() -> None:
    from clew.cli.parts import analysis, ingest

    for part, pause in ((ingest, "QUIET_AGE"), (analysis, "QUIET_REST")):
        assert hasattr(part, pause)
        setattr(part, pause, 0.5)


def kill_at(moment: str, function: str, number: str, text: str = "") -> None:
    module, _, path = function.partition(":")
    *owners, name = path.split(".")
    owner: Any = importlib.import_module(module)
    for attribute in owners:
        owner = getattr(owner, attribute)
    original = getattr(owner, name)
    calls = itertools.count(1)

    def count_call(arguments: tuple[Any, ...]) -> None:
        if text in repr(arguments) and next(calls) == int(number):
            os.kill(os.getpid(), signal.SIGKILL)

    def counted(*arguments: Any, **keywords: Any) -> Any:
        if moment == "before":
            count_call(arguments)
        result = original(*arguments, **keywords)
        if moment == "after":
            count_call(arguments)
        return result

    setattr(owner, name, counted)


if __name__ == "__main__":
    wrap_inserts()
    wrap_clock()
    if (SWITCHES / "hasty").exists():
        shorten_pauses()
    if (SWITCHES / "unasked").exists():
        load_unasked()
    if (SWITCHES / "kill").exists():
        kill_at(*(SWITCHES / "kill").read_text().split())
    from clew.cli.main import main

    sys.exit(main(sys.argv[1:]))
