"""Environments of a user's: the agent with other packages, installed by pip from a package index."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYTHONS = ("3.11", "3.12", "3.13", "3.14")


def environment_with(
    directory: Path, packages: Sequence[str], python: str = sys.executable
) -> Path:
    """The directory of programs of a new environment. The test is skipped without an index."""
    subprocess.run([python, "-m", "venv", str(directory)], check=True, capture_output=True)
    programs = directory / "bin"
    pip = [str(programs / "python"), "-m", "pip", "--disable-pip-version-check", "install"]
    subprocess.run([*pip, "--quiet", "--upgrade", "pip"], capture_output=True, timeout=300)
    result = subprocess.run(
        [*pip, "--quiet", str(ROOT), *packages], capture_output=True, text=True, timeout=900
    )
    if "No matching distribution" in result.stderr or "NewConnectionError" in result.stderr:
        pytest.skip(f"pip reaches no package index: {result.stderr.strip().splitlines()[-1]}")
    assert result.returncode == 0, result.stderr
    return programs


@functools.cache
def python_of(version: str) -> str | None:
    """A Python of this version, on PATH or of pyenv."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [
        *(str(path) for path in sorted(pyenv.glob(f"{version}.*/bin/python{version}"))),
        shutil.which(f"python{version}"),
    ]
    for candidate in candidates:
        if candidate and subprocess.run([candidate, "-c", ""], capture_output=True).returncode == 0:
            return candidate
    return None


def needed(program: str, package: str) -> str:
    """The path of a program; the test is skipped, and names the Debian package, without it."""
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"needs the Debian package {package}")
    return path
