"""No space left: on the spool's disk and on the database's, apart. Needs root, for small disks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import resize, small_disk
from oracle import Book, Load, check, segments, taking_seconds, wait_for, wait_until_loaded

from conftest import Clew

NOTHING = Path("/dev/zero")


def fill(disk: Path) -> Path:
    """Somebody else takes all the space there is."""
    filler = disk / "filler"
    with filler.open("ab", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            while True:
                try:
                    if file.write(bytes(size)) < size:
                        break
                except OSError:
                    break
    return filler


def reads(clew: Clew) -> None:
    for path in ("/api/v1/traces", "/api/v1/logs", "/api/v1/transactions", "/api/v1/ledger"):
        answer = clew.get(path)
        assert answer.status_code == 200, (path, answer.text)


@pytest.fixture(params=[1, pytest.param(10, marks=pytest.mark.slow)])
def times(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def spool_disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "spool-disk", 32) as disk:
        yield disk


@pytest.fixture
def database_disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "database-disk", 128) as disk:
        yield disk


def test_the_spools_disk_is_full(tmp_path: Path, spool_disk: Path, times: int) -> None:
    dsn = f"chdb://{tmp_path / 'db'}"
    clew = Clew(spool_disk / "data", "--dsn", dsn, "--spool-limit", "1000")
    try:
        with Load(book := Book(), clew) as load:
            for _ in range(times):
                load.wait_for_answers(0.5)
                filler, refused = fill(spool_disk), book.refused
                wait_for(lambda refused=refused: book.refused > refused + 20)
                reads(clew)
                filler.unlink()
                with taking_seconds(10):
                    load.wait_for_answers(0)
        check(clew, book, dsn, at_least=10 * times)
    finally:
        clew.stop()


def test_the_databases_disk_is_full(tmp_path: Path, database_disk: Path, times: int) -> None:
    """It is acknowledged while the spool has room, refused when that is full too, and stored when
    the database's disk is larger."""
    dsn = f"chdb://{database_disk / 'db'}"
    clew = Clew(tmp_path / "data", "--dsn", dsn, "--spool-limit", "1")
    try:
        with Load(book := Book(), clew, rate=60) as load:
            for time_ in range(1, times + 1):
                load.wait_for_answers(0.5)
                fill(database_disk)
                wait_for(lambda: any("loading" in name for name in segments(clew.data)))
                load.wait_for_answers(1)
                refused = book.refused
                wait_for(lambda refused=refused: book.refused > refused + 20)
                reads(clew)
                resize(database_disk, 128 + 96 * time_)
                with taking_seconds(10):
                    load.wait_for_answers(0)
                (database_disk / "filler").unlink()
        wait_until_loaded(clew.data)
        check(clew, book, dsn, at_least=10 * times)
    finally:
        clew.stop()
