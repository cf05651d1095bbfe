"""Threads run in the context in which they are started."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor, thread
from typing import Any

import pytest
from opentelemetry import context

from clew.agent.threads import carry_context


@pytest.fixture
def values(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the threads of a test see; the library is instrumented."""
    for owner, name in (
        (threading.Thread, "start"),
        (threading.Thread, "run"),
        (threading.Timer, "run"),
        (thread.ThreadPoolExecutor, "submit"),
    ):
        monkeypatch.setattr(owner, name, getattr(owner, name))
    carry_context(threading)
    return []


def within(value: str, function: Any) -> Any:
    token = context.attach(context.set_value("key", value))
    try:
        return function()
    finally:
        context.detach(token)


def test_a_thread(values: list[Any]) -> None:
    def note(text: str, *, more: str) -> None:
        values.append((context.get_value("key"), text, more))

    threads = [threading.Thread(target=note, args=("x",), kwargs={"more": "y"}) for _ in "ab"]
    within("a", threads[0].start)
    threads[1].start()
    for started in threads:
        started.join(30)
    assert sorted(values, key=str) == [("a", "x", "y"), (None, "x", "y")]
    assert context.get_value("key") is None


def test_a_timer(values: list[Any]) -> None:
    timer = threading.Timer(0, lambda: values.append(context.get_value("key")))
    within("a", timer.start)
    timer.join(30)
    assert values == ["a"]


def test_calls_of_a_pool_whose_thread_was_started_in_another_context(values: list[Any]) -> None:
    def note(number: int, *, power: int) -> int:
        values.append(context.get_value("key"))
        return int(number**power)

    with ThreadPoolExecutor(1) as pool:
        results = [
            within("a", lambda: pool.submit(note, 2, power=3)),
            pool.submit(note, 3, power=2),
        ]
        assert [result.result(30) for result in results] == [8, 9]
        assert within("b", lambda: list(pool.map(lambda number: note(number, power=1), [5]))) == [5]
    assert values == ["a", None, "b"]


def test_errors_are_those_of_the_call(values: list[Any]) -> None:
    with ThreadPoolExecutor(1) as pool:
        future = within("a", lambda: pool.submit(int, "x"))
        with pytest.raises(ValueError, match="invalid literal"):
            future.result(30)
        with pytest.raises(TypeError):
            pool.submit()  # type: ignore[call-arg]
        assert pool.submit(context.get_value, "key").result(30) is None
