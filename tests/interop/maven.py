"""Programs in Java, built in .venv, where Maven's repository is kept too."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

INTEROP = Path(sys.prefix) / "interop"
MAVEN, JAVA = shutil.which("mvn"), shutil.which("java")
REASON = "needs a JDK and Maven: Debian's packages default-jdk-headless and maven"


def build(sources: Path, name: str = "") -> Path:
    """Compile the project in `sources`, in a directory with this name (by default that of
    `sources`), and copy its dependencies there, without versions in their names.
    Returns the directory. Skips the test when Maven cannot fetch them, or their checksums differ."""
    directory = INTEROP / (name or sources.name)
    shutil.copytree(sources, directory, dirs_exist_ok=True)
    options = ("--quiet", "--batch-mode", "--strict-checksums", "-Dmdep.stripVersion=true")
    done = subprocess.run(
        [
            *(str(MAVEN), *options, f"-Dmaven.repo.local={INTEROP / 'maven'}"),
            *("compile", "dependency:copy-dependencies"),
        ],
        cwd=directory, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "COMPILATION ERROR" not in done.stdout, done.stdout
    if done.returncode:
        pytest.skip(f"mvn could not fetch the dependencies: {done.stdout[-500:]}")
    return directory
