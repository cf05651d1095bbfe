"""Which releases of OpenTelemetry's packages are installed, and whether the agent works with them.

A release has two numbers: API and SDK 1.45.1 belong to instrumentations and conventions 0.66b1.
Outside of the supported range the agent steps aside. Packages of several releases mostly work
together: it says so, and goes on.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from clew.agent.distributions import installed, normalized

# The range of pyproject.toml, as 1.x; a test compares them. A later patch of NEWEST works too.
OLDEST = (41, 1)
NEWEST = (45, 1)
_OFFSET = 21  # 1.45 is 0.66
# What the agent itself stands on. An instrumentation of another release is its library's affair.
_CORE = (
    "opentelemetry-api",
    "opentelemetry-sdk",
    "opentelemetry-semantic-conventions",
    "opentelemetry-exporter-otlp-proto-http",
    "opentelemetry-exporter-otlp-proto-common",
    "opentelemetry-proto",
    "opentelemetry-instrumentation",
)
_PREFIX = "opentelemetry-instrumentation-"


class Clash(NamedTuple):
    """Which versions clash and what to do, in one line; whether the agent can go on."""

    text: str
    is_fatal: bool


class _Package(NamedTuple):
    name: str
    version: str
    release: tuple[int, int]

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


def clash() -> Clash | None:
    """The clash of the packages that are installed; None if they fit. Raises nothing."""
    try:
        packages = list(_packages())
        outside = [package for package in packages if not _is_in_range(package.release)]
        if outside:
            return Clash(_outside_text(outside), is_fatal=True)
        releases = {package.release[0] for package in packages}
        return Clash(_mixed_text(packages), is_fatal=False) if len(releases) > 1 else None
    except Exception:  # metadata of a form that is not known
        return None


def _is_in_range(release: tuple[int, int]) -> bool:
    return release >= OLDEST and release[0] <= NEWEST[0]


def _packages() -> Iterator[_Package]:
    """The packages that the agent stands on, and where they fit the range, instrumentations."""
    for name in _CORE:
        version = installed().get(normalized(name), "")
        if (release := _release(version)) is not None:
            yield _Package(name, version, release)
    for key, version in sorted(installed().items()):
        name = key.replace("_", "-")
        release = _release(version) if name.startswith(_PREFIX) else None
        if release is not None and _is_in_range(release) and version.startswith("0."):
            yield _Package(name, version, release)


def _release(version: str) -> tuple[int, int] | None:
    """1.45.1 and 0.66b1 as (45, 1); None for a version of another form."""
    numbers = re.match(r"(\d+)\.(\d+)(?:\.|b|$)(\d*)", version)
    if numbers is None:
        return None
    major, minor, patch = int(numbers[1]), int(numbers[2]), int(numbers[3] or 0)
    if major == 0:
        minor -= _OFFSET
    return (minor if major < 2 else 1000 * major + minor), patch


def _range(name: str) -> str:
    """The range of a package, as pip takes it."""
    is_stable = not installed()[normalized(name)].startswith("0.")
    if is_stable:
        return f"{name}>=1.{OLDEST[0]}.{OLDEST[1]},<=1.{NEWEST[0]}.{NEWEST[1]}"
    oldest, newest = OLDEST[0] + _OFFSET, NEWEST[0] + _OFFSET
    return f"{name}>=0.{oldest}b{OLDEST[1]},<=0.{newest}b{NEWEST[1]}"


def _same_release(package: _Package, release: int) -> str:
    """A requirement of one release of a package, as pip takes it: of the newest release no later
    version than clew asks for."""
    is_stable = not package.version.startswith("0.")
    number = release + _OFFSET
    oldest = f"1.{release}.0" if is_stable else f"0.{number}b0"
    if release == NEWEST[0]:
        below = f"<=1.{release}.{NEWEST[1]}" if is_stable else f"<=0.{number}b{NEWEST[1]}"
    else:
        below = f"<1.{release + 1}" if is_stable else f"<0.{number + 1}"
    return f"{package.name}>={oldest},{below}"


def _outside_text(packages: list[_Package]) -> str:
    demands = [demand for _, demand in _demands(packages)]
    command = _pip(_range(package.name) for package in packages)
    return (
        f"{_list(packages)} outside of what clew works with (1.{OLDEST[0]}.{OLDEST[1]} to "
        f"1.{NEWEST[0]}, 0.{OLDEST[0] + _OFFSET}b{OLDEST[1]} to 0.{NEWEST[0] + _OFFSET}"
        f"{''.join(f'; {demand}' for demand in demands[:2])}): {command}"
    )


def _mixed_text(packages: list[_Package]) -> str:
    """What is of another release than most. Where somebody requires one of these, all others are to
    follow it."""
    releases = [package.release[0] for package in packages]
    release = max(set(releases), key=lambda number: (releases.count(number), number))
    others = [package for package in packages if package.release[0] != release]
    demands = _demands(others)
    if demands:
        package = demands[0][0]
        requirements = ["clew", _same_release(package, package.release[0])]
    else:
        requirements = [_same_release(package, release) for package in others[:_NAMED]]
    return (
        f"{_list(others)} of another release than the other OpenTelemetry packages (1.{release}, "
        f"0.{release + _OFFSET}{''.join(f'; {demand}' for _, demand in demands[:2])}): "
        f"{_pip(iter(requirements))}"
    )


_NAMED = 4


def _list(packages: list[_Package]) -> str:
    names = ", ".join(str(package) for package in packages[:_NAMED])
    if len(packages) > _NAMED:
        names += f" and {len(packages) - _NAMED} more"
    return f"{names} {'is' if len(packages) == 1 else 'are'}"


def _pip(requirements: Iterator[str]) -> str:
    import shlex

    return shlex.join([sys.executable, "-m", "pip", "install", *requirements])


def _demands(packages: list[_Package]) -> list[tuple[_Package, str]]:
    """Which of these packages other distributions pin, and in which words."""
    names = "|".join(re.escape(package.name) for package in packages)
    requirement = re.compile(rf"^Requires-Dist: *({names})((?![\w-])[^;\n]*)", re.MULTILINE)
    named = {package.name: package for package in packages}
    return [
        (named[package], f"{name} requires {package}{text.rstrip()}")
        for name, metadata in _metadata()
        for package, text in requirement.findall(metadata)
        if re.search(r"==|<|~=", text)
    ]


def _metadata() -> Iterator[tuple[str, str]]:
    """Name and metadata of the distributions that are neither OpenTelemetry's nor clew."""
    for directory in sys.path:
        try:
            entries = sorted(os.listdir(directory or "."))
        except OSError:
            continue
        for entry in entries:
            name = entry.partition("-")[0]
            is_other = not normalized(name).startswith("opentelemetry_") and name != "clew"
            path = Path(directory, entry, "METADATA")
            if entry.endswith(".dist-info") and is_other and path.is_file():
                yield name.replace("_", "-"), path.read_text(encoding="utf-8", errors="replace")
