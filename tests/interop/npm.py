"""npm packages that tests need, installed into .venv with everything else that is built."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

NODE, NPM = shutil.which("node"), shutil.which("npm")
REASON = "needs node and npm (Node 20 or newer): Debian's packages nodejs and npm"


def install(folder: Path, name: str = "") -> Path:
    """Install the packages of `folder`/package.json, and copy the folder's programs beside them, in
    a directory with this name (by default the folder's).
    Returns where they are. Skips the test when npm cannot install them."""
    installed = Path(sys.prefix) / "interop" / (name or folder.name)
    installed.mkdir(parents=True, exist_ok=True)
    wanted = (folder / "package.json").read_bytes()
    stamp = installed / "installed.json"
    if not stamp.exists() or stamp.read_bytes() != wanted:
        shutil.copy(folder / "package.json", installed)
        options = ("--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts")
        done = subprocess.run(
            [str(NPM), "install", *options],
            cwd=installed, env=os.environ | {"npm_config_cache": str(installed.parent / "npm")},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            pytest.skip(f"npm could not install the packages: {done.stderr[-500:]}")
        stamp.write_bytes(wanted)
    for program in folder.glob("*.js"):
        shutil.copy(program, installed)
    return installed
