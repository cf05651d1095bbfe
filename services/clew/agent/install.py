"""Installing what is missing to instrument a service: `python -m clew.agent.install`.

`clew run --install` runs this with the Python of its command, before that starts. Nothing that is
installed changes its version: pip says first what it would do, and only what is new is installed.
All of it is said on stderr.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from clew.agent.distributions import installed, normalized
from clew.agent.instrumentations import MissingPackage, missing_packages

_PIP = ("-m", "pip", "--disable-pip-version-check", "--no-input", "--quiet")
_PIP_WITHIN = 180.0  # seconds


class Change(NamedTuple):
    """A distribution that pip would install; `current` is the version in this environment."""

    name: str
    version: str
    current: str | None


class PipError(Exception):
    """What pip says when it fails, in one line."""


def main() -> None:
    """Install every package that is missing and that changes nothing else."""
    missing = missing_packages()
    if not missing:
        say("nothing to install: every library that can be instrumented is")
        return
    requirements = [requirement(package) for package in missing]
    if reason := obstacle():
        say(f"{reason}. To install by hand: {command(requirements)}")
        return
    for package, text in zip(missing, requirements, strict=True):
        try:
            install(package, text)
        except PipError as error:
            say(f"not installed for {package.library}: {error}. By hand: {command([text])}")


def requirement(package: MissingPackage) -> str:
    """What pip is to install: of the release that the other OpenTelemetry packages have, and no
    later patch, which would need others that they are not."""
    release = installed().get("opentelemetry_instrumentation", "")
    numbers = re.match(r"(\d+)\.(\d+)", release)
    if package.oldest:
        return f"{package.package}>={package.oldest}"
    if numbers is None:
        return package.package
    major, minor = int(numbers[1]), int(numbers[2])
    return f"{package.package}>={major}.{minor}b0,<={release}"


def obstacle() -> str:
    """Why nothing can be installed in this environment; empty if it can."""
    if importlib.util.find_spec("pip") is None:
        return f"{sys.executable} has no pip"
    is_virtual = sys.prefix != sys.base_prefix
    if not is_virtual and Path(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED").exists():
        return f"the environment of {sys.executable} is managed by the system's package manager"
    packages = sysconfig.get_path("purelib")
    if not os.access(packages, os.W_OK):
        return f"{packages} cannot be written"
    return ""


def command(requirements: Sequence[str]) -> str:
    """The command that a user would run."""
    if importlib.util.find_spec("pip") is None:
        return shlex.join(["uv", "pip", "install", "--python", sys.executable, *requirements])
    return shlex.join([sys.executable, "-m", "pip", "install", *requirements])


def install(package: MissingPackage, text: str) -> None:
    """Install a requirement with its exact versions, if nothing changes by it. Raises PipError."""
    try:
        changes = planned_changes(text, keeping=True)
    except PipError as error:
        changed = [change for change in _changes_or_none(text) if change.current]
        if not changed:
            raise
        words = (f"{name} {current} would become {version}" for name, version, current in changed)
        raise PipError(", ".join(words)) from error
    if changed := [change for change in changes if change.current]:
        raise PipError(f"{changed[0].name} {changed[0].current} would change")
    versions = [f"{change.name}=={change.version}" for change in changes]
    _pip("install", "--no-deps", *versions)
    say(f"installed for {package.library}: {', '.join(versions)}")


def _changes_or_none(text: str) -> list[Change]:
    try:
        return planned_changes(text, keeping=False)
    except PipError:
        return []


def planned_changes(text: str, *, keeping: bool) -> list[Change]:
    """What pip would install for a requirement, by a dry run; with `keeping`, among the sets that
    leave every installed version as it is. Raises PipError if there is none."""
    with tempfile.TemporaryDirectory() as directory:
        report, constraints = Path(directory, "report.json"), Path(directory, "constraints.txt")
        constraints.write_text("\n".join(_pins()) if keeping else "")
        _pip("install", "--dry-run", "--report", str(report), "-c", str(constraints), text)
        items: list[dict[str, Any]] = json.loads(report.read_text())["install"]
    return [
        Change(item["metadata"]["name"], item["metadata"]["version"], _version(item["metadata"]))
        for item in items
    ]


def _version(distribution: dict[str, Any]) -> str | None:
    return installed().get(normalized(distribution["name"]))


def _pins() -> list[str]:
    """Every installed distribution at its version, as lines of a file of constraints."""
    pins = (f"{item.metadata['Name']}=={item.version}" for item in metadata.distributions())
    return [pin for pin in pins if re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!_-]+", pin)]


def _pip(*arguments: str) -> None:
    """Run pip. Raises PipError."""
    try:
        result = subprocess.run(
            [sys.executable, *_PIP, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PIP_WITHIN,
        )
    except subprocess.TimeoutExpired:
        raise PipError(f"pip did not end within {_PIP_WITHIN:.0f} s") from None
    if result.returncode:
        lines = [line for line in result.stderr.splitlines() if line.startswith("ERROR: ")]
        raise PipError((lines or ["ERROR: pip failed"])[0].removeprefix("ERROR: ").rstrip("."))


def say(text: str) -> None:
    """A line on stderr: stdout is the service's."""
    sys.stderr.write(f"clew: {text}\n")


if __name__ == "__main__":
    main()
