"""docker-compose.yml as `docker compose config` reads it: with the plugin itself where it is installed,
and with the module of Go that it is made of where Go is."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gobuild import program

from support.compose import FILE, checkout, load, of

HERE = Path(__file__).parent / "compose_go"

pytestmark = pytest.mark.slow  # the first run fetches and compiles for half a minute

Config = Callable[[Path, str], subprocess.CompletedProcess[str]]


def _run(argv: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=300, **options)


def _by_docker(directory: Path, profile: str) -> subprocess.CompletedProcess[str]:
    flags = ["--project-directory", str(directory), "--profile", profile]
    return _run(["docker", "compose", *flags, "config", "--format", "json"], cwd=directory)


@pytest.fixture(scope="module", params=["docker", "go"])
def config(request: pytest.FixtureRequest) -> Config:
    if request.param == "docker":
        if not shutil.which("docker") or _run(["docker", "compose", "version"]).returncode:
            pytest.skip("needs docker with its plugin compose")
        return _by_docker
    built = program(HERE)
    return lambda directory, profile: _run([str(built), str(directory / FILE), profile])


@pytest.mark.parametrize("profile", ["single", "cluster"])
def test_both_profiles_are_accepted(config: Config, tmp_path: Path, profile: str) -> None:
    directory = checkout(tmp_path)
    read = config(directory, profile)
    assert read.returncode == 0, read.stderr
    assert "warn" not in read.stderr.lower()
    services = json.loads(read.stdout)["services"]
    ours = of(load(directory), profile)
    assert services.keys() == ours.keys()
    for name, service in services.items():
        # What the tests make of the file is what it means.
        assert service.get("environment", {}) == ours[name].get("environment", {}), name
        assert (service["command"] or []) == ours[name].get("command", []), name


@pytest.mark.parametrize("profile", ["single", "cluster"])
def test_without_secrets_it_says_how_to_make_them(
    config: Config, tmp_path: Path, profile: str
) -> None:
    directory = checkout(tmp_path)
    (directory / ".env").unlink()
    refused = config(directory, profile)
    assert refused.returncode != 0
    assert "run sh deploy/secrets.sh" in refused.stderr
