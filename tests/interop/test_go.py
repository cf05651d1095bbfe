"""OpenTelemetry's SDK for Go, two ways (it has no JSON): what it sends is found, every field of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from sending import check_found, send

HERE = Path(__file__).parent / "go"
BUILT = Path(sys.prefix) / "interop" / "go"  # in .venv, as everything is
GO = shutil.which("go")

pytestmark = [
    pytest.mark.slow,  # the first run fetches and compiles for a minute or two
    pytest.mark.skipif(GO is None, reason="needs go"),
]


@pytest.fixture(scope="session")
def sender() -> Path:
    """The program, built where its modules are kept."""
    shutil.copytree(HERE, BUILT, dirs_exist_ok=True)
    env = os.environ | {
        "GOTOOLCHAIN": "local",
        "GOFLAGS": "-modcacherw",
        "GOPATH": str(BUILT.parent / "gopath"),
        "GOCACHE": str(BUILT.parent / "gocache"),
    }

    def go(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(GO), *arguments], cwd=BUILT, env=env, capture_output=True, text=True, check=False
        )

    tidied = go("mod", "tidy")
    if tidied.returncode:
        pytest.skip(f"go could not fetch OpenTelemetry's SDK: {tidied.stderr[-500:]}")
    built = go("build", "-o", "send", ".")
    assert built.returncode == 0, built.stderr
    return BUILT / "send"


def test_three_signals_two_ways(clew, sender: Path) -> None:
    sent = {way: send(clew, way, [str(sender)]) for way in ("http-protobuf", "grpc")}
    check_found(clew, "go", sent)
