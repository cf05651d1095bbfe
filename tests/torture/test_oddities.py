"""Clients that repeat themselves, clocks that are wrong, two instances, a migration cut off."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import Spoilt
from oracle import (
    SIGNALS,
    Book,
    Grpc,
    Http,
    Load,
    Stored,
    check,
    request,
)

from support.processes import Clew

DAY = 86_400


@pytest.fixture
def spoilt(tmp_path: Path) -> Iterator[Spoilt]:
    running = Spoilt(tmp_path / "data")
    yield running
    running.stop()


# In nanoseconds: none, the first, 1970's last second, 2106, 2262's last, more than fits, all ones
TIMES = (0, 1, 31_535_999 * 10**9, 2**32 * 10**9, 2**63 - 1, 2**63, 2**64 - 1)


@pytest.fixture
def cut_off(tmp_path: Path) -> Iterator[Clew]:
    """A clew whose first starts, on an empty directory, were killed while it migrated."""
    clew = Clew(tmp_path / "data", wait=False)
    for pause in (1.4, 2.0):
        time.sleep(pause)
        clew.kill()
        clew.start_without_waiting()
    clew.kill()
    clew.start()
    yield clew
    clew.stop()


@pytest.mark.parametrize("days", [5, pytest.param(1000, marks=pytest.mark.slow)])
def test_every_request_five_times_and_of_any_time(cut_off: Clew, days: int) -> None:
    """At least once is the client's side of the contract: what it sends again is stored again. The
    oracle counts those copies apart; DUP is what clew makes of one."""
    clew, book = cut_off, Book()
    clients = [Http(clew), Grpc(clew)]
    now, chance = time.time_ns(), random.Random(1)
    times = [*TIMES, *(now - day * DAY * 10**9 for day in range(days))]
    for at in (*times, *(chance.randrange(2**64) for _ in range(days))):
        for signal in SIGNALS:
            number = next(book.numbers)
            body = request(signal, number, at)
            for each in (0, 1, 0, 1, 0):
                book.note(signal, number, clients[each].send(signal, body))
    for client in clients:
        client.close()
    sent = 3 * (len(times) + days)
    verdict = check(clew, book)
    assert verdict.acknowledged == verdict.stored == 5 * sent
    assert verdict.repeated == 4 * sent
    stored = Stored.behind(f"chdb://{clew.data / 'db'}")
    print(stored.parts, "parts in", stored.partitions, "partitions")
    assert stored.partitions < 100


@pytest.mark.slow  # shorter in test_engine.py
def test_clocks(spoilt: Spoilt) -> None:
    """A day ahead, a day behind, back by an hour, a day back over a kill."""
    with Load(book := Book(), spoilt) as load:
        for seconds in (DAY, -DAY, 0, -3600, DAY):
            spoilt.switch_on("clock", seconds)
            load.wait_for_answers(0.7)
        spoilt.kill()
        spoilt.switch_on("clock", -DAY)
        spoilt.start()
        load.wait_for_answers(0.7)
    check(spoilt, book, at_least=30)


@pytest.mark.slow  # shorter in tests/e2e/test_platform_process.py
def test_two_instances_on_one_directory(clew: Clew) -> None:
    """The second says why, within 2 s of work besides Python's imports; the first takes no notice."""
    program = f"""
import sys, time
from clew.cli import demo, main, platform
began = time.process_time()
status = main.main({["up", "--data", str(clew.data)]!r})
print(time.process_time() - began)
sys.exit(status)
"""
    with Load(book := Book(), clew):
        second = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
        assert second.returncode == 2
        assert f"in use by another clew (process {clew.process.pid})" in second.stderr
        assert float(second.stdout) < 2
    check(clew, book)


@pytest.mark.slow  # shorter above
@pytest.mark.parametrize("times", [20])
def test_killed_while_it_migrates(tmp_path: Path, times: int) -> None:
    """On an empty directory, at random instants of its first seconds; then it starts and works."""
    chance = random.Random(times)
    for number in range(max(1, times // 5)):
        clew = Clew(tmp_path / str(number), wait=False)
        try:
            for _ in range(min(5, times)):
                time.sleep(chance.uniform(0.9, 3.0))
                clew.kill()
                clew.start_without_waiting()
            clew.kill()
            clew.start()
            with Load(book := Book(), clew) as load:
                load.wait_for_answers(0)
            check(clew, book)
        finally:
            clew.stop()
