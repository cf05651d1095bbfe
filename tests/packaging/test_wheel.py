"""What is in the wheel, and what installing it brings along: for a service, the agent alone."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import venv
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from support.capture import capturing

ROOT = Path(__file__).parents[2]

# What only the server needs, by the names of the distributions.
SERVER_ONLY = {
    "chdb-core", "clickhouse-cityhash", "clickhouse-connect", "fastapi", "grpcio",
    "httptools", "numpy", "pandas", "pyarrow", "sqlalchemy", "starlette", "uvicorn", "uvloop", "xxhash", "zstandard",
}  # fmt: skip

APP = """
import logging
from opentelemetry import trace

with trace.get_tracer("app").start_as_current_span("do the work"):
    logging.getLogger("app").warning("working", extra={"order_id": "7"})
"""


def _pip(*arguments: str, python: Path | str = sys.executable) -> str:
    return _run([str(python), "-m", "pip", "--disable-pip-version-check", *arguments])


def _run(argv: list[str], env: Mapping[str, str] | None = None, status: int = 0) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, env=env, timeout=300)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("wheel")
    _pip("wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(directory), str(ROOT))
    (built,) = directory.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def agent(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of programs of an environment into which nothing but the wheel was put."""
    directory = tmp_path_factory.mktemp("agent")
    venv.create(directory, with_pip=False)
    programs = directory / "bin"
    _pip(
        "--python", str(programs / "python"), "install", "--quiet",
        "--constraint", str(_versions(tmp_path_factory.mktemp("versions"))), str(wheel),
    )  # fmt: skip
    return programs


def _versions(directory: Path) -> Path:
    """The pinned versions without their hashes: with them pip wants one for the wheel as well."""
    pins = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line]
    path = directory / "versions.txt"
    path.write_text("\n".join(pin.removesuffix(" \\") for pin in pins))
    return path


def _outside(programs: Path, **more: str) -> dict[str, str]:
    """An environment without anything of this one."""
    keep = {key: os.environ[key] for key in ("HOME", "LANG") if key in os.environ}
    return {**keep, "PATH": f"{programs}:/usr/bin:/bin", **more}


def test_its_only_name_is_clew_and_that_is_a_namespace(names: set[str]) -> None:
    top = {name.partition("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == {"clew"}
    assert "clew/__init__.py" not in names


def test_everything_of_the_three_areas_is_in_it(names: set[str]) -> None:
    for area in ("collector", "storage", "services"):
        sources = {
            str(path.relative_to(ROOT / area))
            for path in (ROOT / area / "clew").rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }
        assert sources
        assert sources <= names


def test_it_holds_the_sql_the_schema_and_the_markers_of_types(names: set[str]) -> None:
    assert "clew/storage/otlp.proto" in names
    assert any(name.startswith("clew/storage/queries/") for name in names)
    assert any(name.startswith("clew/storage/schema/0001_") for name in names)
    packages = {name.split("/")[1] for name in names if name.startswith("clew/")}
    assert {f"clew/{package}/py.typed" for package in packages} <= names


def test_it_holds_nothing_of_the_tests_and_the_measurements(names: set[str]) -> None:
    assert not [name for name in names if "test" in name or "bench" in name]


def test_installing_it_brings_nothing_of_the_server(agent: Path) -> None:
    listed = _pip("--python", str(agent / "python"), "list", "--format", "freeze")
    installed = {line.partition("==")[0].lower() for line in listed.splitlines()}
    assert "clew" in installed
    assert "opentelemetry-sdk" in installed
    assert not installed & SERVER_ONLY


def test_clew_run_works_there(agent: Path, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)
    with capturing() as sent:
        argv = [str(agent / "clew"), "run", "--service", "worker", "--endpoint", sent.url, "--"]
        _run([*argv, "python", str(tmp_path / "app.py")], _outside(agent))
        (span,) = sent.spans_named("do the work")
        (log,) = sent.logs_saying("working")
    assert span.service == log.service == "worker"
    assert log.attributes["order_id"] == "7"
    assert log.trace_id == span.trace_id


def test_clew_doctor_examines_a_service_there(agent: Path, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)
    with capturing() as sent:
        argv = [str(agent / "clew"), "doctor", "--endpoint", sent.url, "--seconds", "120", "--"]
        text = _run([*argv, "python", str(tmp_path / "app.py")], _outside(agent))
        assert sent.spans_named("do the work")
    assert re.search(r"^ok +endpoint +http://", text, re.MULTILINE)
    assert re.search(r"^ok +traces +1 spans$", text, re.MULTILINE)
    assert "nothing wrong" in text


@pytest.mark.parametrize("command", ["up", "demo", "collect", "serve", "migrate"])
def test_a_command_of_the_server_says_what_to_install(
    agent: Path, tmp_path: Path, command: str
) -> None:
    argv = [str(agent / "clew"), command, "--data", str(tmp_path / "data")]
    said = _run(argv, _outside(agent), status=2)
    assert "pip install 'clew[server]'" in said
    assert "Traceback" not in said
    assert not (tmp_path / "data").exists()


def test_the_command_line_explains_itself_there(agent: Path) -> None:
    said = _run([str(agent / "clew"), "--help"], _outside(agent))
    for command in ("up", "demo", "run", "collect", "serve", "migrate"):
        assert command in said


def test_constraints_name_versions_and_hashes_and_no_place() -> None:
    text = (ROOT / "constraints.txt").read_text()
    assert "://" not in text
    assert "--index" not in text
    assert "--find-links" not in text
    pinned = {line.partition("==")[0] for line in text.splitlines() if "==" in line}
    assert {
        "chdb-core",
        "fastapi",
        "hatchling",
        "editables",
        "opentelemetry-sdk",
        "pytest",
    } <= pinned
    for block in text.split("\n\n")[-1].replace("\\\n", "").splitlines():
        if "==" in block:
            assert "--hash=sha256:" in block
