"""No space left: on the spool's disk and on the database's, apart. Needs root, for small disks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import resize, small_disk
from oracle import Book, Load, check, segments, taking_seconds, wait_for

from support.processes import Clew


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


@pytest.fixture
def disks(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """One for the spool, and one for the database."""
    with (
        small_disk(tmp_path / "spool-disk", 32) as spool,
        small_disk(tmp_path / "database-disk", 128) as database,
    ):
        yield spool, database


@pytest.mark.parametrize("times", [1, pytest.param(10, marks=pytest.mark.slow)])
def test_no_space_left(disks: tuple[Path, Path], times: int) -> None:
    """On the spool's disk: refused. On the database's: acknowledged while the spool has room, then
    refused. Reads go on, and what is sent is taken again within 10 s of there being space."""
    spool, database = disks
    dsn = f"chdb://{database / 'db'}"
    (spool / "data.log").symlink_to(spool.parent / "clew.log")  # what clew says needs space too
    clew = Clew(spool / "data", "--dsn", dsn, "--spool-limit", "1")
    try:
        with Load(book := Book(), clew, rate=60) as load:
            for count in range(1, times + 1):
                load.wait_for_answers(0.5)
                filler = fill(spool)
                is_refused(book)
                reads(clew)
                filler.unlink()
                with taking_seconds(10):
                    load.wait_for_answers(0)

                filler = fill(database)
                wait_for(lambda: any("loading" in name for name in segments(clew)))
                is_refused(book)
                reads(clew)
                resize(database, 128 + 96 * count)
                with taking_seconds(10):
                    load.wait_for_answers(0)
                filler.unlink()
        check(clew, book, dsn, at_least=10 * times)
    finally:
        clew.stop()


def is_refused(book: Book) -> None:
    before = book.refused
    wait_for(lambda: book.refused > before + 20)
