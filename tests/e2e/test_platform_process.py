"""`clew up` as a person starts it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from support.processes import CLEW, CLEW_UP, Clew
from support.traffic import SECOND, SERVER, Process, Span, spans_request


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clew]:
    """For tests that leave it as it is. At the end SIGTERM stops it."""
    running = Clew(tmp_path_factory.mktemp("shared") / "data")
    yield running
    stops_cleanly(running, signal.SIGTERM)


def stops_cleanly(clew: Clew, number: int) -> None:
    clew.process.send_signal(number)
    assert clew.process.wait(30) == 0
    assert not (clew.data / "endpoints.json").exists()
    assert "Traceback" not in clew.log.read_text()


def test_the_addresses_in_use_are_printed_and_written(shared: Clew) -> None:
    written = json.loads((shared.data / "endpoints.json").read_text())
    assert set(written) == {"otlp_http", "otlp_grpc", "api", "clickhouse"}
    assert written["clickhouse"] == ""
    printed = shared.log.read_text()
    for name in ("otlp_http", "otlp_grpc", "api"):
        assert re.fullmatch(r"http://127\.0\.0\.1:[1-9]\d*", written[name])
        assert written[name] in printed
    assert shared.get("/healthz").text == "ok\n"
    assert shared.get("/readyz").text == "ready\n"
    empty = httpx.post(
        f"{written['otlp_http']}/v1/traces", headers={"content-type": "application/x-protobuf"}
    )
    assert empty.status_code == 200


def test_a_second_instance_on_the_same_data_is_refused(shared: Clew) -> None:
    second = subprocess.run(
        [*CLEW_UP, "--data", str(shared.data)], capture_output=True, text=True, timeout=60
    )
    assert second.returncode == 2
    assert second.stderr.startswith("clew: ")
    assert str(shared.data) in second.stderr
    assert str(shared.process.pid) in second.stderr
    assert "Traceback" not in second.stderr
    assert shared.get("/readyz").is_success
    assert (shared.data / "endpoints.json").exists()


@pytest.mark.parametrize(
    "flag",
    [
        "--otlp-grpc",
        pytest.param("--clickhouse", marks=pytest.mark.slow),
        pytest.param("--otlp-http", marks=pytest.mark.slow),
        pytest.param("--api", marks=pytest.mark.slow),
    ],
)
def test_an_address_that_is_taken_is_named(shared: Clew, tmp_path: Path, flag: str) -> None:
    taken = shared.endpoints["api"].removeprefix("http://")
    second = subprocess.run(
        [*CLEW_UP, "--data", str(tmp_path / "other"), flag, taken],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert second.returncode == 2, second.stderr
    assert second.stderr == f"clew: {flag}: cannot listen on {taken}: Address already in use\n"


def test_what_it_writes_is_in_its_data_directory(tmp_path: Path) -> None:
    """The working directory, whatever it is, stays as it was."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    before = Path.cwd()
    os.chdir(elsewhere)
    try:
        clew = Clew(tmp_path / "data")
        httpx.post(
            f"{clew.endpoints['otlp_http']}/v1/traces",
            content=_one_span(),
            headers={"content-type": "application/x-protobuf"},
        ).raise_for_status()
        stops_cleanly(clew, signal.SIGINT)
    finally:
        os.chdir(before)
    assert list(elsewhere.iterdir()) == []


def _one_span() -> bytes:
    span = Span("a" * 32, "b" * 16, "", Process("web", "web-1"), "GET /", SERVER, SECOND, SECOND)
    return bytes(spans_request([span]).SerializeToString())


def test_migrate_says_what_it_would_do_and_does_it(tmp_path: Path) -> None:
    def migrate(*flags: str) -> list[str]:
        argv = [*CLEW, "migrate", "--data", str(tmp_path), *flags]
        ran = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True)
        return ran.stdout.splitlines()

    pending = migrate("--dry-run")
    assert "0001_database (pending)" in pending
    assert [f"{name} (pending)" for name in migrate()] == pending
    assert migrate("--dry-run") == []
