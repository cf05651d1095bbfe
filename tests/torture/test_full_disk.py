"""No space left, on the spool's disk and on the database's. Mounting small disks needs root."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import resize, small_disk
from oracle import Book, Load, check, segments, wait_for, within_seconds

from support.processes import Clew


def fill(disk: Path) -> Path:
    """Fill the disk with a file."""
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


def check_reads(clew: Clew) -> None:
    for path in ("/api/v1/traces", "/api/v1/logs", "/api/v1/transactions", "/api/v1/ledger"):
        response = clew.get(path)
        assert response.status_code == 200, (path, response.text)


@pytest.fixture
def disks(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """A disk for the spool, and one for the database."""
    with (
        small_disk(tmp_path / "spool-disk", 32) as spool,
        small_disk(tmp_path / "database-disk", 128) as database,
    ):
        yield spool, database


@pytest.mark.parametrize("times", [1, pytest.param(10, marks=pytest.mark.slow)])
def test_no_space_left(disks: tuple[Path, Path], times: int) -> None:
    """Without space on the spool's disk requests are refused; without space on the database's they
    are acknowledged until the spool is full, and then refused. Reads continue. Within 10 s of having
    space again, requests are accepted."""
    spool, database = disks
    dsn = f"chdb://{database / 'db'}"
    (spool / "data.log").symlink_to(spool.parent / "clew.log")  # clew's log needs space too
    clew = Clew(spool / "data", "--dsn", dsn, "--spool-limit", "1")
    try:
        with Load(book := Book(), clew, rate=60) as load:
            for count in range(1, times + 1):
                load.wait_for_answers(0.5)
                filler = fill(spool)
                wait_for_refusals(book)
                check_reads(clew)
                filler.unlink()
                with within_seconds(10):
                    load.wait_for_answers(0)

                filler = fill(database)
                wait_for(lambda: any("loading" in name for name in segments(clew)))
                wait_for_refusals(book)
                check_reads(clew)
                resize(database, 128 + 96 * count)
                with within_seconds(10):
                    load.wait_for_answers(0)
                filler.unlink()
        check(clew, book, dsn, at_least=10 * times)
    finally:
        clew.stop()


def wait_for_refusals(book: Book) -> None:
    before = book.refused
    wait_for(lambda: book.refused > before + 20)
