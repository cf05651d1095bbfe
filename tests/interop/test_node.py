"""OpenTelemetry's SDK for Node, three ways: what it sends is found, every field of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from sending import check_found, send

HERE = Path(__file__).parent / "node"
INSTALLED = Path(sys.prefix) / "interop" / "node"  # into .venv, as everything is
WAYS = ("http-protobuf", "http-json", "grpc")
NODE, NPM = shutil.which("node"), shutil.which("npm")

pytestmark = [
    pytest.mark.slow,  # the first run fetches 90 MB
    pytest.mark.skipif(NODE is None or NPM is None, reason="needs node and npm (Node 20 or newer)"),
]


@pytest.fixture(scope="session")
def sender() -> Path:
    """The program, beside the packages that it imports."""
    INSTALLED.mkdir(parents=True, exist_ok=True)
    wanted = (HERE / "package.json").read_bytes()
    stamp = INSTALLED / "installed.json"
    if not stamp.exists() or stamp.read_bytes() != wanted:
        shutil.copy(HERE / "package.json", INSTALLED)
        options = ("--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts")
        done = subprocess.run(
            [str(NPM), "install", *options],
            cwd=INSTALLED, env=os.environ | {"npm_config_cache": str(INSTALLED.parent / "npm")},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            pytest.skip(f"npm could not install OpenTelemetry's SDK: {done.stderr[-500:]}")
        stamp.write_bytes(wanted)
    return Path(shutil.copy(HERE / "send.js", INSTALLED))


def test_three_signals_three_ways(clew, sender: Path) -> None:
    sent = {way: send(clew, way, [str(NODE), str(sender)]) for way in WAYS}
    check_found(clew, "node", sent)
