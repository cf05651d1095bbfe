"""Repeated requests, odd times, wrong clocks, two instances, and interrupted migrations."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import FaultyClew
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
def faulty_clew(tmp_path: Path) -> Iterator[FaultyClew]:
    running = FaultyClew(tmp_path / "data")
    yield running
    running.stop()


# Nanoseconds: no time, the first, the end of 1970, 2106 (32 bits of seconds), the last signed value, one
# more, and the greatest unsigned value.
TIMES = (0, 1, 31_535_999 * 10**9, 2**32 * 10**9, 2**63 - 1, 2**63, 2**64 - 1)


@pytest.fixture
def migrated(tmp_path: Path) -> Iterator[Clew]:
    """A clew that was killed twice while it created its schema."""
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
def test_repeated_requests_of_any_time_are_stored(migrated: Clew, days: int) -> None:
    """Each request is sent five times and stored five times. The oracle counts copies that a client
    sent separately from DUP, the copies that clew makes."""
    clew, book = migrated, Book()
    clients = [Http(clew), Grpc(clew)]
    now, chance = time.time_ns(), random.Random(1)
    times = [*TIMES, *(now - day * DAY * 10**9 for day in range(days))]
    for time_ns in (*times, *(chance.randrange(2**64) for _ in range(days))):
        for signal in SIGNALS:
            number = next(book.numbers)
            body = request(signal, number, time_ns)
            for attempt in range(5):
                outcome = clients[attempt % 2].send(signal, body)
                book.record(signal, number, outcome)
    for client in clients:
        client.close()
    sent = 3 * (len(times) + days)
    verdict = check(clew, book)
    assert verdict.acknowledged == verdict.stored == 5 * sent
    assert verdict.repeated == 4 * sent
    stored = Stored.read(f"chdb://{clew.data / 'db'}")
    print(stored.parts, "parts in", stored.partitions, "partitions")
    assert stored.partitions < 100


@pytest.mark.slow  # shorter in test_engine.py
def test_clocks(faulty_clew: FaultyClew) -> None:
    """A day ahead, a day behind, an hour back, and a day back across a kill."""
    clew = faulty_clew
    with Load(book := Book(), clew) as load:
        for seconds in (DAY, -DAY, 0, -3600, DAY):
            clew.switch_on("clock", seconds)
            load.wait_for_answers(0.7)
        clew.kill()
        clew.switch_on("clock", -DAY)
        clew.start()
        load.wait_for_answers(0.7)
    check(clew, book, at_least=30)


@pytest.mark.slow  # shorter in tests/e2e/test_platform_process.py
def test_two_instances_on_one_directory(clew: Clew) -> None:
    """The second exits with a reason, within 2 s of CPU time after its imports; the first continues."""
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
def test_kills_during_the_first_migration(tmp_path: Path, times: int) -> None:
    """On an empty directory, at random instants of the first seconds; then it starts and works."""
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
