"""The embedded engine as clew opens it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from clew.storage import SettingError, Store
from clew.storage.store import EMBEDDED_OPTIONS, _remove_torn_mutations
from support.loading import rows


def test_its_memory_is_bounded(engine: Store) -> None:
    found = {
        row["name"]: row["value"]
        for row in rows(engine, "SELECT name, value FROM system.server_settings")
    }
    for name, value in EMBEDDED_OPTIONS.items():
        assert float(found[name]) == value, name
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert int(found["max_server_memory_usage"]) <= 0.51 * memory


def test_it_keeps_no_logs_of_its_own(engine: Store) -> None:
    tables = rows(
        engine,
        "SELECT name FROM system.tables WHERE database = 'system' AND engine LIKE '%MergeTree'",
    )
    assert tables == []


@pytest.mark.parametrize(
    ("dsn", "mend"),
    [
        ("postgres://x", "chdb:///absolute/directory"),
        ("chdb://relative/dir", "three slashes"),
        ("chdb:///tmp/a*b", "as a pattern"),
        ("chdb:///tmp/a{b}", "as a pattern"),
    ],
)
def test_a_dsn_that_cannot_be_used_says_what_to_write(dsn: str, mend: str) -> None:
    with pytest.raises(SettingError, match=mend):
        Store(dsn)


def test_a_mutation_that_a_full_disk_cut_off_is_removed(tmp_path: Path) -> None:
    """The engine would not open the directory again; see tests/torture/test_full_disk.py."""
    table = tmp_path / "store" / "abc" / "abcdef"
    table.mkdir(parents=True)
    whole, empty = table / "mutation_1.txt", table / "mutation_2.txt"
    whole.write_text("format version: 1\ncommands: (UPDATE _row_exists = 0 WHERE Segment = 1)\n")
    empty.touch()
    with (tmp_path / "status").open("w") as status:
        fcntl.flock(status, fcntl.LOCK_EX)  # as an engine does that has it open
        _remove_torn_mutations(tmp_path)
        assert empty.exists()
    (tmp_path / "status").unlink()  # as an engine does that is closed
    _remove_torn_mutations(tmp_path)
    assert (whole.exists(), empty.exists()) == (True, False)
