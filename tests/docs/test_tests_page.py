"""tests/README.md lists every suite and every helper."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
PAGE = (TESTS / "README.md").read_text()


def test_every_suite_is_listed() -> None:
    suites = {f"tests/{path.parent.name}" for path in TESTS.glob("*/test_*.py")}
    assert set(re.findall(r"^\| `(tests/\w+)` \|", PAGE, re.MULTILINE)) == suites


def test_every_helper_is_listed() -> None:
    helpers = {path.name for path in (TESTS / "support").glob("*.py")} - {"__init__.py"}
    assert set(re.findall(r"^\| `(\w+\.py)` \|", PAGE, re.MULTILINE)) == helpers
