"""docs/doctor.md lists every check."""

from __future__ import annotations

import re
from pathlib import Path

from clew.api.doctor_checks import CHECKS as STORE_CHECKS
from clew.cli.doctor.service_checks import CHECKS

PAGE = (Path(__file__).parents[2] / "docs" / "doctor.md").read_text(encoding="utf-8")
CONNECTION = ("endpoint", "key", "clock")
API, LOCAL = ("api", "key", "ready", "clock"), ("disk", "dead letters")


def _listed(heading: str) -> list[str]:
    """The checks of the first table below a heading."""
    (section,) = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)
    (rows,) = re.findall(r"^\|-\|.*\n((?:\|.*\n)+)", section, re.MULTILINE)
    return [
        name for row in rows.splitlines() for name in re.findall(r"`([^`]+)`", row.split("|")[1])
    ]


def test_the_checks_of_a_service_are_listed() -> None:
    assert _listed("A service") == [*CONNECTION, *(check.name for check in CHECKS)]


def test_the_checks_of_a_store_are_listed() -> None:
    assert _listed("A running clew") == [*API, *(check.name for check in STORE_CHECKS), *LOCAL]
