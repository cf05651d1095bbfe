"""ClickHouse's JDBC driver, which DBeaver and most BI tools use, against the embedded engine: with README's URL,
which names no user. The driver then sends `default` and the password `null`."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.processes import Clew

HERE = Path(__file__).parent / "clickhouse_jdbc"
BUILT = (
    Path(sys.prefix) / "interop" / "clickhouse_jdbc"
)  # in .venv, with everything else that is built
MAVEN, JAVA = shutil.which("mvn"), shutil.which("java")

pytestmark = [
    pytest.mark.slow,  # the first run fetches for a minute or two
    pytest.mark.skipif(
        MAVEN is None or JAVA is None,
        reason="needs a JDK and Maven: Debian's packages default-jdk-headless and maven",
    ),
]


def test_metadata_queries_and_errors_of_a_bi_tool(tmp_path: Path) -> None:
    shutil.copytree(HERE, BUILT, dirs_exist_ok=True)
    maven = [str(MAVEN), "-q", "-B", f"-Dmaven.repo.local={BUILT.parent / 'maven'}"]
    build = subprocess.run(
        [*maven, "compile", "dependency:copy-dependencies"],
        cwd=BUILT,
        capture_output=True,
        text=True,
        check=False,
    )
    if build.returncode:
        pytest.skip(f"mvn could not fetch the driver: {build.stdout[-500:]}")
    clew = Clew(tmp_path / "data", "--clickhouse", "127.0.0.1:0")
    address = clew.endpoints["clickhouse"].removeprefix("http://")
    run = subprocess.run(
        [str(JAVA), "-cp", "target/classes:target/dependency/*", "Ask", address],
        cwd=BUILT,
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
