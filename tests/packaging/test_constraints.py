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
PINS = {
    canonicalize_name(name): version
    for name, version in re.findall(
        r"^([\w.-]+)==([^\s;\\]+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE
    )
}


@pytest.mark.parametrize("required", REQUIRED, ids=str)
def test_a_dependency_is_pinned(required: Requirement) -> None:
    version = PINS.get(canonicalize_name(required.name))
    assert version, "write constraints.txt anew, as its first lines say"
    assert required.specifier.contains(version, prereleases=True)
