"""ClickHouse's JDBC driver, which DBeaver and most BI tools use, against the embedded engine: with README's URL,
which names no user. The driver then sends `default` and the password `null`."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from maven import JAVA, MAVEN, REASON, build

from support.processes import Clew

HERE = Path(__file__).parent / "clickhouse_jdbc"

pytestmark = [
    pytest.mark.slow,  # the first run fetches for a minute or two
    pytest.mark.skipif(MAVEN is None or JAVA is None, reason=REASON),
]


def test_metadata_queries_and_errors_of_a_bi_tool(tmp_path: Path) -> None:
    built = build(HERE)
    clew = Clew(tmp_path / "data", "--clickhouse", "127.0.0.1:0")
    address = clew.endpoints["clickhouse"].removeprefix("http://")
    run = subprocess.run(
        [str(JAVA), "-cp", "target/classes:target/dependency/*", "Ask", address],
        cwd=built,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert clew.stop() == 0
    assert run.stdout.splitlines() == [
        "product ClickHouse",
        "tables 5",
        "landing 0",
        "described",
        "columns 1",
        "rows 100000",
        "rows 1",
        "rows 0",
        "error Code: 60.",
        "bound it's 5",
    ], run.stderr
