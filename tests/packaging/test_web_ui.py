"""The web UI in the distributions: built from a checkout, kept by a source distribution, and left
out with a warning where it cannot be built."""

from __future__ import annotations

import gzip
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILT = ROOT / "services/clew/web/static/index.html"
ASK = """
import asyncio, httpx, clew.web
async def ask():
    transport = httpx.ASGITransport(clew.web.Web())
    async with httpx.AsyncClient(transport=transport, base_url="http://clew") as client:
        return (await client.get("/")).text
print(clew.web.__file__)
print(asyncio.run(ask()))
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what is tracked, without a built page."""
    copy = tmp_path / "checkout"
    ignore = shutil.ignore_patterns(
        ".venv", ".git", "node_modules", "static", "data", "__pycache__"
    )
    shutil.copytree(ROOT, copy, ignore=ignore)
    return copy


def _without_npm(directory: Path) -> dict[str, str]:
    """The environment of a machine without Node.js."""
    directory.mkdir()
    return {**os.environ, "PATH": str(directory)}


def _build(source: Path, target: str, out: Path, env: dict[str, str]) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(out)]
    result = subprocess.run(command, cwd=source, env=env, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    (built,) = out.iterdir()
    return built


def _page(wheel: Path, directory: Path) -> str:
    """What the package of a wheel answers to `/`."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(directory)
    result = subprocess.run(
        [sys.executable, "-c", ASK],
        env={**os.environ, "PYTHONPATH": str(directory)},
        capture_output=True,
        text=True,
        check=True,
    )
    place, _, page = result.stdout.partition("\n")
    assert Path(place).is_relative_to(directory)
    return page


def test_a_wheel_without_npm_has_a_page_that_says_so(checkout: Path, tmp_path: Path) -> None:
    env = _without_npm(tmp_path / "empty")
    wheel = _build(checkout, "wheel", tmp_path / "wheels", env)
    assert "make ui" in _page(wheel, tmp_path / "unpacked")
    required = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "other")],
        cwd=checkout,
        env={**env, "CLEW_UI": "required"},
        capture_output=True,
        text=True,
    )
    assert required.returncode != 0
    assert "install Node.js" in required.stdout + required.stderr


@pytest.mark.skipif(not BUILT.exists(), reason="needs the built web UI: make ui")
def test_a_wheel_of_a_source_distribution_needs_no_npm(checkout: Path, tmp_path: Path) -> None:
    shutil.copytree(BUILT.parent, checkout / BUILT.parent.relative_to(ROOT))
    env = _without_npm(tmp_path / "empty")
    archive = _build(checkout, "sdist", tmp_path / "archives", env)
    shutil.unpack_archive(archive, tmp_path / "source", filter="data")
    (source,) = (tmp_path / "source").iterdir()
    assert not (source / "services/ui/node_modules").exists()
    wheel = _build(source, "wheel", tmp_path / "wheels", env)
    assert '<script type="module"' in _page(wheel, tmp_path / "unpacked")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("npm") is None, reason="needs npm (Node.js 20.19 or newer)")
def test_a_wheel_of_a_checkout_builds_the_page(checkout: Path, tmp_path: Path) -> None:
    wheel = _build(checkout, "wheel", tmp_path / "wheels", dict(os.environ))
    assert '<script type="module"' in _page(wheel, tmp_path / "unpacked")


def test_the_lock_names_no_address() -> None:
    lock = (ROOT / "services/ui/package-lock.json").read_text()
    assert '"integrity"' in lock
    assert "://" not in lock


STATIC_IMPORT = re.compile(r"""(?:\bfrom|\bimport)\s*["'](\./[\w.-]+\.js)["']""")
DYNAMIC_IMPORT = re.compile(r"""\bimport\(\s*["'`](\./[\w.-]+\.js)["'`]\s*\)""")


def _closure(start: set[Path]) -> set[Path]:
    """The scripts, and what they import statically."""
    files: set[Path] = set()
    waiting = list(start)
    while waiting:
        file = waiting.pop()
        if file not in files:
            files.add(file)
            waiting += [file.parent / name for name in STATIC_IMPORT.findall(file.read_text())]
    return files


def _weight(files: set[Path]) -> int:
    return sum(len(gzip.compress(file.read_bytes())) for file in files)


@pytest.mark.skipif(not BUILT.exists(), reason="needs the built web UI: make ui")
def test_the_pages_are_light() -> None:
    static, page = BUILT.parent, BUILT.read_text()
    scripts = {static / name for name in re.findall(r'(?:src|href)="/(assets/[\w.-]+\.js)"', page)}
    styles = {static / name for name in re.findall(r'href="/(assets/[\w.-]+\.css)"', page)}
    first = _closure(scripts)
    assert 0 < _weight(first) <= 200_000
    assert 0 < _weight(styles) <= 20_000
    later = {
        script.parent / name
        for script in first
        for name in DYNAMIC_IMPORT.findall(script.read_text())
    }
    assert len(later) >= 5
    every_style = set((static / "assets").glob("*.css"))
    for script in later:
        assert _weight(first | _closure({script}) | every_style) <= 340_000, script.name
    assert not re.search(r'(?:src|href)="(?!/)', page)
