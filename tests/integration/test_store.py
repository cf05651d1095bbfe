"""Store: the options of the embedded engine, DSNs, and incomplete mutations."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from clew.storage import SettingError, Store
from clew.storage.store import EMBEDDED_OPTIONS, _remove_torn_mutations
from support.loading import rows


def test_the_engine_has_memory_limits(engine: Store) -> None:
    settings = {
        row["name"]: row["value"]
        for row in rows(engine, "SELECT name, value FROM system.server_settings")
    }
    for name, value in EMBEDDED_OPTIONS.items():
        assert float(settings[name]) == value, name
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert int(settings["max_server_memory_usage"]) <= 0.51 * memory


def test_the_engine_writes_no_log_tables(engine: Store) -> None:
    tables = rows(
        engine,
        "SELECT name FROM system.tables WHERE database = 'system' AND engine LIKE '%MergeTree'",
    )
    assert tables == []


@pytest.mark.parametrize(
    ("dsn", "advice"),
    [
        ("postgres://x", "chdb:///absolute/directory"),
        ("chdb://relative/dir", "three slashes"),
        ("chdb:///tmp/a*b", "as a pattern"),
        ("chdb:///tmp/a{b}", "as a pattern"),
    ],
)
def test_the_error_for_an_unusable_dsn_says_what_to_write(dsn: str, advice: str) -> None:
    with pytest.raises(SettingError, match=advice):
        Store(dsn)


def test_an_incomplete_mutation_is_removed(tmp_path: Path) -> None:
    """A full disk leaves one, and the engine does not open the directory then; see
    tests/torture/test_full_disk.py."""
    table = tmp_path / "store" / "abc" / "abcdef"
    table.mkdir(parents=True)
    complete, empty = table / "mutation_1.txt", table / "mutation_2.txt"
    complete.write_text("format version: 1\ncommands: (UPDATE _row_exists = 0 WHERE Segment = 1)\n")
    empty.touch()
    with (tmp_path / "status").open("w") as status:
        fcntl.flock(status, fcntl.LOCK_EX)  # like an engine that has the directory open
        _remove_torn_mutations(tmp_path)
        assert empty.exists()
    (tmp_path / "status").unlink()  # like an engine that was closed
    _remove_torn_mutations(tmp_path)
    assert (complete.exists(), empty.exists()) == (True, False)


def test_an_engine_does_without_pandas_and_pyarrow(tmp_path: Path) -> None:
    """chdb imports them where it finds them; they can be uninstalled (ADR 0027)."""
    program = f"""
import sys
from clew.storage import Store
with Store("chdb://{tmp_path}/db").client() as client:
    assert client.query("SELECT 1, [1.5], now64(9)").result_rows[0][0] == 1
assert not {{"pandas", "pyarrow"}} & set(sys.modules), "imported"
"""
    subprocess.run([sys.executable, "-c", program], check=True)
