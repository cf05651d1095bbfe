"""clickhouse-sqlalchemy, a dialect other than clickhouse-connect's (which tests/e2e/test_clickhouse.py has):
it describes every table that is listed."""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from support.processes import Clew
from support.stored import wait_until_loaded
from support.traffic import SECOND, SERVER, Process, Span, spans_request

HERE = Path(__file__).parent / "sqlalchemy"
INSTALLED = Path(sys.prefix) / "interop" / "sqlalchemy"  # in .venv, with everything else

pytestmark = pytest.mark.slow  # the first run fetches packages


@pytest.fixture(scope="module")
def python() -> Path:
    """The interpreter of an environment that has the dialect."""
    wanted, stamp = (HERE / "requirements.txt").read_bytes(), INSTALLED / "installed.txt"
    if not stamp.exists() or stamp.read_bytes() != wanted:
        venv.create(INSTALLED, with_pip=False, clear=True)
        options = ("--disable-pip-version-check", "--python", str(INSTALLED / "bin/python"))
        done = subprocess.run(
            [sys.executable, "-m", "pip", *options, "install", "-q", "--require-hashes",
             "-r", str(HERE / "requirements.txt")],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            pytest.skip(f"pip could not install clickhouse-sqlalchemy: {done.stderr[-500:]}")
        stamp.write_bytes(wanted)
    return INSTALLED / "bin/python"


@pytest.fixture
def clew(tmp_path: Path) -> Iterator[Clew]:
    running = Clew(tmp_path / "data", "--clickhouse", "127.0.0.1:0")
    yield running
    assert running.stop() == 0


def test_every_table_is_reflected(python: Path, clew: Clew) -> None:
    spans = [
        Span(f"{number:032x}", f"{number:016x}", "", Process("web", "web-1"), name, SERVER, number * SECOND, number * SECOND)
        for number, name in enumerate(("GET /", "it's ü"), 1_780_308_000)
    ]  # fmt: skip
    httpx.post(
        f"{clew.endpoints['otlp_http']}/v1/traces",
        content=spans_request(spans).SerializeToString(),
        headers={"content-type": "application/x-protobuf"},
    ).raise_for_status()
    wait_until_loaded(clew.data)
    address = clew.endpoints["clickhouse"].removeprefix("http://")
    run = subprocess.run(
        [python, HERE / "reflect.py", address], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    answer = json.loads(run.stdout)
    assert {"otel_traces", "otel_logs", "clew_traces", "clew_occurrences"} <= set(answer["tables"])
    assert not [name for name in answer["tables"] if name.startswith("clew_landing_")]
    assert answer["names"] == ["GET /", "it's ü"]
