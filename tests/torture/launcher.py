"""`clew` with faults that a test switches on: its engine, its clock, and the moment it dies.

A switch is a file in the directory that CLEW_TORTURE names; what stands in it is the switch's
value. clew itself knows nothing of this: its functions are wrapped here.

    stopped          no insert begins (and none that waits ends) while it is there
    slow             seconds by which every insert takes longer
    failing          the share of inserts that fail before they begin
    reply-lost       the share of inserts that succeed, and then report a failure
    clock            seconds by which the clock is off
    hasty            the settler hardly rests between its passes; read once, at the start
    kill             `before|after module:Name.of.function n [text]`: the process ends itself with
                     SIGKILL before the n-th call, or after the n-th that raised nothing (of those
                     with the text in their arguments); read once, at the start
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
    """What stands in the switch; 0 when it is off."""
    try:
        return float((SWITCHES / switch).read_text() or 0)
    except (OSError, ValueError):
        return 0.0


def spoil_the_engine() -> None:
    from clew.storage import Ingest, InsertError

    chance = random.Random(1)

    def spoilt(insert: Callable[..., Any]) -> Callable[..., Any]:
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
        setattr(Ingest, name, spoilt(getattr(Ingest, name)))


def spoil_the_clock() -> None:
    time_ns, seconds = time.time_ns, time.time
    time.time_ns = lambda: time_ns() + int(value("clock") * 1e9)
    time.time = lambda: seconds() + value("clock")


def hurry_the_settler() -> None:
    from clew.analysis.traces import settler
    from clew.analysis.traces.attributes import Attributes
    from clew.analysis.traces.edges import Edges

    for owner, pause in (
        (settler, "REST"), (settler, "SHORTEST_REST"), (Edges, "every"), (Attributes, "every")
    ):  # fmt: skip
        assert hasattr(owner, pause)
        setattr(owner, pause, 0.1)


def die_at(when: str, where: str, count: str, among: str = "") -> None:
    module, _, path = where.partition(":")
    *owners, name = path.split(".")
    owner: Any = importlib.import_module(module)
    for each in owners:
        owner = getattr(owner, each)
    real = getattr(owner, name)
    calls = itertools.count(1)

    def count_call(arguments: tuple[Any, ...]) -> None:
        if among in repr(arguments) and next(calls) == int(count):
            os.kill(os.getpid(), signal.SIGKILL)

    def deadly(*arguments: Any, **named: Any) -> Any:
        if when == "before":
            count_call(arguments)
        answer = real(*arguments, **named)
        if when == "after":
            count_call(arguments)
        return answer

    setattr(owner, name, deadly)


if __name__ == "__main__":
    spoil_the_engine()
    spoil_the_clock()
    if (SWITCHES / "hasty").exists():
        hurry_the_settler()
    if (SWITCHES / "kill").exists():
        die_at(*(SWITCHES / "kill").read_text().split())
    from clew.cli.main import main

    sys.exit(main(sys.argv[1:]))
