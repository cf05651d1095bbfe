"""clew over a server (here another clew's ClickHouse port): whichever of the two is killed, every
acknowledged request is stored exactly once."""

from __future__ import annotations

import os
import random
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from oracle import Book, Load, Stored, check, judge, wait_for

from support.processes import CLEW, Clew
from support.servers import Collect, Serve, Server
from support.stored import wait_until_loaded

CYCLES = int(os.environ.get("CLEW_TORTURE_CYCLES", "1000")) // 20


class Fleet:
    """A server, `clew serve` and `clew collect` on it."""

    def __init__(self, directory: Path) -> None:
        with ExitStack() as started:
            self.server = Server(directory)
            started.callback(self.server.stop)
            self.serve = Serve(directory / "serve", self.server.dsn)
            started.callback(self.serve.stop)
            self.collect = Collect(directory / "collect", self.server.dsn, self.serve)
            started.callback(self.collect.stop)
            self.stop = started.pop_all().close

    def check(self, book: Book) -> None:
        """The oracle's check, of the rows on the server."""
        check(self.collect, book, self.server.dsn)


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    running = Fleet(tmp_path)
    yield running
    running.stop()


End = Callable[[Fleet, Load, random.Random], None]


def kill_collector(fleet: Fleet, load: Load, chance: random.Random) -> None:
    time.sleep(chance.uniform(0.2, 2.0))
    fleet.collect.kill()
    fleet.collect.start()


def kill_server(fleet: Fleet, load: Load, chance: random.Random) -> None:
    load.wait_for_answers(chance.uniform(0.2, 2.0))
    fleet.server.kill()
    fleet.server.start()


def stop_server_for_a_while(fleet: Fleet, load: Load, chance: random.Random) -> None:
    """`clew collect` accepts requests meanwhile; only `clew serve` is not ready."""
    assert fleet.server.stop() == 0
    wait_for(lambda: fleet.serve.get("/readyz").status_code == 503)
    load.wait_for_answers(2.0)
    assert httpx.get(f"{fleet.collect.endpoints['otlp_http']}/readyz").is_success
    fleet.server.start()
    wait_for(lambda: fleet.serve.get("/readyz").is_success)


def kill_both(fleet: Fleet, load: Load, chance: random.Random) -> None:
    load.wait_for_answers(chance.uniform(0.2, 1.0))
    fleet.collect.kill()
    fleet.server.kill()
    fleet.server.start()
    fleet.collect.start()


@pytest.mark.slow
def test_each_end_once(fleet: Fleet) -> None:
    chance = random.Random(1)
    with Load(book := Book(), fleet.collect) as load:
        kill_collector(fleet, load, chance)
        kill_server(fleet, load, chance)
        stop_server_for_a_while(fleet, load, chance)
    fleet.check(book)


@pytest.mark.slow
def test_a_move_that_is_killed_is_run_again(tmp_path: Path) -> None:
    """Killed at random until a run ends; the server then has every row of the database."""
    clew = Clew(tmp_path / "data")
    with Load(book := Book(), clew, rate=60):
        time.sleep(20)
    wait_until_loaded(clew.data)
    assert clew.stop() == 0
    server = Server(tmp_path)
    try:
        move = [*CLEW, "move", "--data", str(clew.data), server.dsn]
        start = time.monotonic()
        chance = random.Random(1)
        killed = 0
        for _ in range(20):
            running = subprocess.Popen(move, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            try:
                running.wait(chance.uniform(2.0, 6.0))
            except subprocess.TimeoutExpired:
                running.kill()
                killed += 1
            output = running.communicate()[0].decode()
            assert running.returncode in (0, -9), output
            if running.returncode == 0:
                break
        assert killed
        finished = subprocess.run(move, capture_output=True, text=True, check=False)
        assert (finished.returncode, "DIFFERENT" in finished.stdout) == (0, False), finished
        verdict = judge(book, Stored.read(server.dsn))
        print(verdict, f"{killed} kills, {time.monotonic() - start:.0f} s")
        assert verdict.passed
        # The remaining segments of the spool are loaded into the server.
        serve = Serve(tmp_path / "serve", server.dsn)
        collect = Collect(clew.data, server.dsn, serve)
        try:
            wait_until_loaded(clew.data)
        finally:
            assert [collect.stop(), serve.stop()] == [0, 0]
    finally:
        assert server.stop() == 0


@pytest.mark.slow
@pytest.mark.parametrize("end", [kill_collector, kill_server, stop_server_for_a_while, kill_both])
def test_many_times(fleet: Fleet, end: End) -> None:
    chance = random.Random(CYCLES)
    with Load(book := Book(), fleet.collect) as load:
        for _ in range(CYCLES):
            end(fleet, load, chance)
    fleet.check(book)
