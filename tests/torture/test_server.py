"""clew over a server, which here is another clew's port: whoever of the two ends, and however, what
was acknowledged is stored exactly once."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from oracle import Book, Load, check, wait_for

from servers import Collect, Serve, Server

CYCLES = int(os.environ.get("CLEW_TORTURE_CYCLES", "1000")) // 20


class Fleet:
    """A server, `clew serve` and `clew collect` on it."""

    def __init__(self, directory: Path) -> None:
        with ExitStack() as started:
            self.server = Server(directory)
            started.callback(self.server.stop)
            self.serve = Serve(directory / "serve", self.server)
            started.callback(self.serve.stop)
            self.collect = Collect(directory / "collect", self.server, self.serve)
            started.callback(self.collect.stop)
            self.stop = started.pop_all().close

    def check(self, book: Book) -> None:
        """As the oracle does it, with the server asked for what it has."""
        check(self.collect, book, self.server.dsn)


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    running = Fleet(tmp_path)
    yield running
    running.stop()


End = Callable[[Fleet, Load, random.Random], None]


def collector_killed(fleet: Fleet, load: Load, chance: random.Random) -> None:
    time.sleep(chance.uniform(0.2, 2.0))
    fleet.collect.kill()
    fleet.collect.start()


def server_killed(fleet: Fleet, load: Load, chance: random.Random) -> None:
    load.wait_for_answers(chance.uniform(0.2, 2.0))
    fleet.server.kill()
    fleet.server.start()


def server_stopped_for_a_while(fleet: Fleet, load: Load, chance: random.Random) -> None:
    """Requests are taken meanwhile, and only what reads is not ready."""
    assert fleet.server.stop() == 0
    wait_for(lambda: fleet.serve.get("/readyz").status_code == 503)
    load.wait_for_answers(2.0)
    assert httpx.get(f"{fleet.collect.endpoints['otlp_http']}/readyz").is_success
    fleet.server.start()
    wait_for(lambda: fleet.serve.get("/readyz").is_success)


def both_killed(fleet: Fleet, load: Load, chance: random.Random) -> None:
    load.wait_for_answers(chance.uniform(0.2, 1.0))
    fleet.collect.kill()
    fleet.server.kill()
    fleet.server.start()
    fleet.collect.start()


def test_each_end_once(fleet: Fleet) -> None:
    chance = random.Random(1)
    with Load(book := Book(), fleet.collect) as load:
        collector_killed(fleet, load, chance)
        server_killed(fleet, load, chance)
        server_stopped_for_a_while(fleet, load, chance)
    fleet.check(book)


@pytest.mark.slow
@pytest.mark.parametrize(
    "end", [collector_killed, server_killed, server_stopped_for_a_while, both_killed]
)
def test_many_times(fleet: Fleet, end: End) -> None:
    chance = random.Random(CYCLES)
    with Load(book := Book(), fleet.collect) as load:
        for _ in range(CYCLES):
            end(fleet, load, chance)
    fleet.check(book)
