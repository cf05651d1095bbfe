"""Instrumentations are switched on when their library is imported, whoever imports it first."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

# As that of httpx, which is that of httpx2 too: it imports both libraries itself.
CONTRIB = """
import first_library, second_library

calls = []


class First:
    def instrument(self):
        calls.append("first")


class Second:
    def instrument(self):
        calls.append("second")
"""
PROGRAM = """
import logging
from clew.agent import instrumentations
from clew.agent.instrumentations import Instrumentation

logging.basicConfig(level=logging.DEBUG)
instrumentations.TABLE = (
    Instrumentation("first", "twins:First", ("first",), "first_library"),
    Instrumentation("second", "twins:Second", ("second",), "second_library"),
)
instrumentations.switch_on_at_import()
import first_library
from opentelemetry.instrumentation import twins
print(sorted(twins.calls))
"""


def test_two_libraries_of_one_instrumentation_are_both_instrumented(tmp_path: Path) -> None:
    contrib = tmp_path / "opentelemetry" / "instrumentation"
    contrib.mkdir(parents=True)
    (contrib / "twins.py").write_text(CONTRIB)
    (tmp_path / "first_library.py").touch()
    (tmp_path / "second_library.py").touch()
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.stdout == "['first', 'second']\n", result.stderr
    assert result.stderr == ""
