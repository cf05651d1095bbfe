"""The engine stops, is slow, fails or loses its replies, and the clock is wrong: nothing is lost, and
nothing is stored twice.

The launcher wraps the functions of storage that the loader calls; the inserts are the real engine's.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import FaultyClew
from oracle import SIGNALS, Book, Load, check, request, segments, wait_for

STOPPED = float(os.environ.get("CLEW_TORTURE_STOPPED", "120"))  # seconds of each fault
DAY = 86_400
FAULTS = (
    ("slow", 0.5), ("failing", 0.7), ("clock", DAY), ("reply-lost", 0.7), ("clock", -DAY),
    ("stopped", ""),
)  # fmt: skip


@pytest.fixture
def clew(tmp_path: Path) -> Iterator[FaultyClew]:
    running = FaultyClew(tmp_path / "data", "--spool-limit", "1", unasked="")
    yield running
    running.switch_off("stopped", "failing", "slow", "reply-lost")
    running.stop()


@pytest.mark.parametrize("seconds", [1.0, pytest.param(STOPPED, marks=pytest.mark.slow)])
def test_every_fault_in_turn(clew: FaultyClew, seconds: float) -> None:
    """Clients are answered during every fault, and again after it."""
    with Load(book := Book(), clew) as load:
        for fault, value in FAULTS:
            clew.switch_on(fault, value)
            time.sleep(seconds)
            before = book.total() + book.refused
            wait_for(lambda before=before: book.total() + book.refused > before + 10)
            clew.switch_off(fault)
            load.wait_for_answers(0)
    fill_spool(clew, book, seconds)
    check(clew, book, at_least=30)


def fill_spool(clew: FaultyClew, book: Book, seconds: float) -> None:
    """Stop the engine under three times the load, with larger requests, until the spool is full:
    requests are refused, and accepted again once the engine works."""

    def large(signal: str, number: int) -> bytes:
        return request(signal, number) + b"\x0a\xff\xff\x01\x1a\xfb\xff\x01" + b"x" * 0x7FFB

    clew.switch_on("stopped")
    with Load(book, clew, rate=45, make=large) as load:
        wait_for(lambda: book.refused)
        before = book.refused
        time.sleep(seconds)
        assert book.refused > before
        clew.switch_off("stopped")
        load.wait_for_answers(0)


@pytest.mark.slow
def test_ambiguous_segments_are_reloaded_after_a_restart(clew: FaultyClew) -> None:
    """Every reply is lost until clew stops."""
    clew.switch_on("reply-lost", 1)
    with Load(book := Book(), clew) as load:
        load.wait_for_answers(1)
        wait_for(lambda: any(name.endswith(".loading") for name in segments(clew)))
    assert clew.stop() == 0
    clew.switch_off("reply-lost")
    clew.start()
    check(clew, book, at_least=len(SIGNALS))
