"""Clients that repeat themselves, clocks that are wrong, two instances, a migration that is cut off."""

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
    ledger,
    request,
    wait_until_loaded,
)

from conftest import Clew

DAY = 86_400


@pytest.fixture
def spoilt(tmp_path: Path) -> Iterator[Spoilt]:
    running = Spoilt(tmp_path / "data")
    yield running
    running.stop()


@pytest.mark.parametrize("requests", [10, pytest.param(1000, marks=pytest.mark.slow)])
def test_every_request_five_times(clew: Clew, requests: int) -> None:
    """At least once is the client's side of the contract: what it sends again is stored again. The
    oracle counts those copies apart; DUP is what clew makes of one."""
    book = Book()
    clients = [Http(clew), Grpc(clew)]
    for _ in range(requests):
        for signal in SIGNALS:
            number = next(book.numbers)
            body = request(signal, number)
            for each in (0, 1, 0, 1, 0):
                book.note(signal, number, clients[each].send(signal, body))
    for client in clients:
        client.close()
    verdict = check(clew, book, at_least=5 * 3 * requests)
    assert verdict.stored == verdict.acknowledged == 15 * requests
    assert verdict.repeated == 12 * requests


def test_clocks(spoilt: Spoilt) -> None:
    """A day ahead, a day behind, back by an hour between two segments, over a restart and a kill."""
    with Load(book := Book(), spoilt) as load:
        for seconds in (DAY, -DAY, 0, -3600, 60):
            spoilt.switch_on("clock", seconds)
            load.wait_for_answers(0.7)
        spoilt.switch_on("clock", DAY)
        load.wait_for_answers(0.7)
        spoilt.kill()
        spoilt.switch_on("clock", -DAY)
        spoilt.start()
        load.wait_for_answers(0.7)
        assert spoilt.stop() == 0
        spoilt.switch_off("clock")
        spoilt.start()
        load.wait_for_answers(0.3)
    check(spoilt, book, at_least=30)


# In nanoseconds: nothing, the first second, 1970's end, 2106, 2262's last, over what fits, all ones
TIMES = (0, 1, 10**9, 31_535_999 * 10**9, 2**32 * 10**9, 2**63 - 1, 2**63, 2**64 - 1)


def test_timestamps(clew: Clew) -> None:
    """Of any time, over any number of days; parts and partitions stay bounded."""
    book = Book()
    client = Http(clew)
    chance = random.Random(1)
    days = [(time.time_ns() // 10**9 - DAY * day) * 10**9 for day in range(0, 4000, 20)]
    anywhere = [chance.randrange(2**64) for _ in range(100)]
    for at in (*TIMES, *days, *anywhere):
        for signal in SIGNALS:
            number = next(book.numbers)
            book.note(signal, number, client.send(signal, request(signal, number, at, 2)))
    client.close()
    wait_until_loaded(clew.data)
    told = {line["signal"]: line for line in ledger(clew)}
    assert clew.stop() == 0
    stored = Stored.behind(f"chdb://{clew.data / 'db'}")
    for signal in SIGNALS:
        sent = 2 * book.acknowledged[signal].total()
        assert sent == 2 * (len(TIMES) + len(days) + len(anywhere)) == told[signal]["received"]
        assert stored.rows[signal] == told[signal]["stored"] == sent - told[signal]["rejected"]
        assert told[signal]["rejected"] == 0
    assert stored.sides
    assert stored.partitions < 400
    assert stored.parts < 3000


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


@pytest.mark.parametrize("times", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_while_it_migrates(tmp_path: Path, times: int) -> None:
    """On an empty directory, at random instants of its first seconds; then it starts and works."""
    chance = random.Random(times)
    for number in range(max(1, times // 5)):
        data = tmp_path / f"data{number}"
        clew = Clew.__new__(Clew)
        clew.data, clew.log, clew._flags = data, tmp_path / f"{number}.log", ()
        for _ in range(min(5, times)):
            clew.start_without_waiting()
            time.sleep(chance.uniform(0.9, 3.0))
            clew.kill()
        clew.start()
        with Load(book := Book(), clew) as load:
            load.wait_for_answers(0)
        check(clew, book)
