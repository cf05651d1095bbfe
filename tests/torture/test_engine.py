"""The engine stops, is slow, fails, and loses its replies: nothing is lost, nothing doubled.

The launcher wraps what the loader calls of storage; the inserts themselves are the real engine's.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import Spoilt
from oracle import ITEMS, SIGNALS, Book, Load, check, request, segments, wait_for

MINUTES = float(os.environ.get("CLEW_TORTURE_STOPPED", "180")) / 60


@pytest.fixture
def spoilt(tmp_path: Path) -> Iterator[Spoilt]:
    running = Spoilt(tmp_path / "data", "--spool-limit", "1")
    yield running
    running.switch_off("stopped", "failing", "slow", "reply-lost")
    running.stop()


@pytest.mark.parametrize("seconds", [1.5, pytest.param(60 * MINUTES, marks=pytest.mark.slow)])
def test_every_fault_in_turn(spoilt: Spoilt, seconds: float) -> None:
    """One load through all of them; clients are answered whatever the engine does."""
    with Load(book := Book(), spoilt) as load:
        for fault, value in {"slow": 0.5, "failing": 0.7, "reply-lost": 0.7, "stopped": ""}.items():
            spoilt.switch_on(fault, value)
            load.wait_for_answers(seconds)
            spoilt.switch_off(fault)
        spoilt.switch_on("failing", 0.5)
        spoilt.switch_on("reply-lost", 0.5)
        load.wait_for_answers(seconds)
        spoilt.switch_off("failing", "reply-lost")
    check(spoilt, book, at_least=30)


@pytest.mark.parametrize("seconds", [2, pytest.param(60, marks=pytest.mark.slow)])
def test_the_spool_at_its_limit_under_three_times_the_load(spoilt: Spoilt, seconds: int) -> None:
    """Refused, never dropped; and when the engine is back, taken again."""

    def large(signal: str, number: int) -> bytes:
        filling = b"\x0a\xff\xff\x01" + b"\x1a\xfb\xff\x01" + b"x" * 0x7FFB  # a schema URL
        return request(signal, number) + filling

    spoilt.switch_on("stopped")
    with Load(book := Book(), spoilt, rate=45, make=large) as load:
        wait_for(lambda: book.refused)
        time.sleep(seconds)
        pending = book.total()
        spoilt.switch_off("stopped")
        load.wait_for_answers(0)
    assert book.refused > seconds
    assert pending * ITEMS > 0
    check(spoilt, book, at_least=30)


def test_an_engine_that_is_back_finds_what_waited(spoilt: Spoilt) -> None:
    """Half of it unsettled, over a restart."""
    spoilt.switch_on("reply-lost", 1)
    with Load(book := Book(), spoilt) as load:
        load.wait_for_answers(1)
        wait_for(lambda: any(name.endswith(".loading") for name in segments(spoilt.data)))
    assert spoilt.stop() == 0
    spoilt.switch_off("reply-lost")
    spoilt.start()
    check(spoilt, book, at_least=len(SIGNALS))
