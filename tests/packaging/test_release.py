"""The places that hold the version agree."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def test_the_image_has_the_version() -> None:
    for name in ("docker-compose.yml", "deploy/Dockerfile"):
        tags = re.findall(r"\bclew:(\d[\w.]*)", (ROOT / name).read_text())
        assert tags, name
        assert set(tags) == {VERSION}, name


def test_the_changelog_begins_with_what_is_unreleased_and_this_version() -> None:
    headings = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == "Unreleased"
    assert re.fullmatch(rf"{re.escape(VERSION)} - \d{{4}}-\d\d-\d\d", headings[1])
