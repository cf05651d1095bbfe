"""When the agent starts in a process that somebody supervises."""

from __future__ import annotations

import os
from multiprocessing.process import BaseProcess
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from clew.agent import workers

MARK = "CLEW_SUPERVISED"


class Newer:
    """A worker as uvicorn has it today; its older releases have the server's function."""

    def __init__(self, calls: list[str]) -> None:
        self.server = SimpleNamespace(run=lambda sockets: calls.append("serve"))

    def target(self, sockets: Any = None) -> None:
        self.server.run(sockets)


class Older:
    def __init__(self, calls: list[str]) -> None:
        self.real_target = lambda sockets: calls.append("serve")

    def target(self, sockets: Any = None) -> None:
        self.real_target(sockets)


@pytest.mark.parametrize("kind", [Newer, Older])
def test_it_starts_before_the_server_of_a_marked_worker(
    kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    monkeypatch.setattr(BaseProcess, "run", lambda self: self._kwargs["target"](sockets=None))
    monkeypatch.setenv(MARK, "true")
    assert workers.start_late(lambda: calls.append("start"))
    assert MARK not in os.environ
    assert not calls
    process: Any = SimpleNamespace(_kwargs={"target": kind(calls).target})
    BaseProcess.run(process)
    assert calls == ["start", "serve"]
    BaseProcess.run(process)  # of another process of the worker's: nothing is put off
    assert len(calls) == 4


def test_it_starts_at_once_in_what_it_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(BaseProcess, "run", lambda self: calls.append("run"))
    monkeypatch.setenv(MARK, "true")
    assert workers.start_late(lambda: calls.append("start"))
    BaseProcess.run(SimpleNamespace(_kwargs={"target": print}))  # type: ignore[arg-type]
    assert calls == ["start", "run"]
    assert not workers.start_late(lambda: calls.append("start"))


def test_only_a_worker_is_marked() -> None:
    environments: list[str | None] = []

    class Process:
        def start(self) -> None:
            environments.append(os.environ.get(MARK))

    module = ModuleType("uvicorn.supervisors.multiprocess")
    module.Process = Process  # type: ignore[attr-defined]
    workers.mark_workers(module)
    Process().start()
    assert environments == ["true"]
    assert MARK not in os.environ
