"""constraints.txt pins every dependency that pyproject.toml names, at a version that it allows."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
REQUIRED = [
    Requirement(text)
    for group in (PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())
    for text in group
]
CONSTRAINTS = (ROOT / "constraints.txt").read_text()
PINS = {
    canonicalize_name(name): version
    for name, version in re.findall(r"^([\w.-]+)==([^\s;\\]+)", CONSTRAINTS, re.MULTILINE)
}
PREFIX = "opentelemetry-instrumentation-"
INSTRUMENTATIONS = [
    required
    for required in map(Requirement, PROJECT["dependencies"])
    if required.name.startswith(PREFIX)
]


@pytest.mark.parametrize("required", REQUIRED, ids=str)
def test_a_dependency_is_pinned(required: Requirement) -> None:
    version = PINS.get(canonicalize_name(required.name))
    assert version, "write constraints.txt anew, as its first lines say"
    assert required.specifier.contains(version, prereleases=True)


def test_the_first_lines_say_how_the_file_is_written() -> None:
    assert CONSTRAINTS.startswith("# Every package"), "uv drops the comment: put it back"
    assert "uv pip compile" in CONSTRAINTS.partition("==")[0]


@pytest.mark.parametrize("instrumentation", INSTRUMENTATIONS, ids=str)
def test_an_instrumentation_is_of_the_pinned_release_and_tested(
    instrumentation: Requirement,
) -> None:
    assert str(instrumentation.specifier) == f"=={PINS['opentelemetry-instrumentation']}"
    name = instrumentation.name.removeprefix(PREFIX).replace("-", "_")
    tests = (ROOT / "tests" / "integration" / "test_agent.py").read_text()
    assert name in tests, f"test {instrumentation.name} in tests/integration/test_agent.py"
