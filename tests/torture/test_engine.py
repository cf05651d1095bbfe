"""The engine stops, is slow, fails, loses its replies, and the clock is wrong meanwhile: nothing is
lost, nothing doubled.

The launcher wraps what the loader calls of storage; the inserts themselves are the real engine's.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import Spoilt
from oracle import SIGNALS, Book, Load, check, request, segments, wait_for

STOPPED = float(os.environ.get("CLEW_TORTURE_STOPPED", "120"))  # seconds of each fault
DAY = 86_400
FAULTS = (
    ("slow", 0.5), ("failing", 0.7), ("clock", DAY), ("reply-lost", 0.7), ("clock", -DAY),
    ("stopped", ""),
)  # fmt: skip


@pytest.fixture
def spoilt(tmp_path: Path) -> Iterator[Spoilt]:
    running = Spoilt(tmp_path / "data", "--spool-limit", "1")
    yield running
    running.switch_off("stopped", "failing", "slow", "reply-lost")
    running.stop()


@pytest.mark.parametrize("seconds", [1.0, pytest.param(STOPPED, marks=pytest.mark.slow)])
def test_every_fault_in_turn(spoilt: Spoilt, seconds: float) -> None:
    """One load through all of them; clients are answered whatever the engine does."""
    with Load(book := Book(), spoilt) as load:
        for fault, value in FAULTS:
            spoilt.switch_on(fault, value)
            time.sleep(seconds)
            before = book.total() + book.refused
            wait_for(lambda before=before: book.total() + book.refused > before + 10)
            spoilt.switch_off(fault)
            load.wait_for_answers(0)
    at_its_limit(spoilt, book, seconds)
    check(spoilt, book, at_least=30)


def at_its_limit(spoilt: Spoilt, book: Book, seconds: float) -> None:
    """The engine stops under three times the load, with larger requests, until the spool is full:
    they are refused, not dropped, and taken again when it is back."""

    def large(signal: str, number: int) -> bytes:
        return request(signal, number) + b"\x0a\xff\xff\x01\x1a\xfb\xff\x01" + b"x" * 0x7FFB

    spoilt.switch_on("stopped")
    with Load(book, spoilt, rate=45, make=large) as load:
        wait_for(lambda: book.refused)
        before = book.refused
        time.sleep(seconds)
        assert book.refused > before
        spoilt.switch_off("stopped")
        load.wait_for_answers(0)


@pytest.mark.slow
def test_an_engine_that_is_back_finds_what_waited(spoilt: Spoilt) -> None:
    """Some of its segments are ambiguous, over a restart."""
    spoilt.switch_on("reply-lost", 1)
    with Load(book := Book(), spoilt) as load:
        load.wait_for_answers(1)
        wait_for(lambda: any(name.endswith(".loading") for name in segments(spoilt)))
    assert spoilt.stop() == 0
    spoilt.switch_off("reply-lost")
    spoilt.start()
    check(spoilt, book, at_least=len(SIGNALS))
