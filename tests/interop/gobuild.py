"""Programs in Go, built in .venv, where their modules are kept too."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

INTEROP = Path(sys.prefix) / "interop"
ENVIRONMENT = {
    "GOTOOLCHAIN": "local",
    "GOFLAGS": "-modcacherw",
    "GOPATH": str(INTEROP / "gopath"),
    "GOCACHE": str(INTEROP / "gocache"),
}


def program(sources: Path, name: str = "") -> Path:
    """What the module in `sources` makes, in a directory with this name (by default that of
    `sources`). Skips the test where there is no Go, or its modules cannot be fetched."""
    if shutil.which("go") is None:
        pytest.skip("needs go")
    directory = INTEROP / (name or sources.name)
    shutil.copytree(sources, directory, dirs_exist_ok=True)

    def go(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["go", *arguments],
            cwd=directory,
            env=os.environ | ENVIRONMENT,
            capture_output=True,
            text=True,
            check=False,
        )

    tidied = go("mod", "tidy")
    if tidied.returncode:
        pytest.skip(f"go could not fetch its modules: {tidied.stderr[-500:]}")
    built = go("build", "-o", "program", ".")
    assert built.returncode == 0, built.stderr
    return directory / "program"
