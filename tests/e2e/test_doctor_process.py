"""`clew doctor` on a running clew, by its data directory."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from support.processes import CLEW, Clew


@pytest.mark.slow
def test_a_new_clew_has_no_fault(clew: Clew) -> None:
    result = subprocess.run(
        [*CLEW, "doctor", "--json", "--data", str(clew.data)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    document = json.loads(result.stdout)
    assert result.returncode == (0 if document["ok"] else 1)
    checks = {check["check"]: check for check in document["checks"]}
    assert clew.endpoints["api"] in checks["api"]["text"]
    # The disk of the machine that runs the test may be full.
    wrong = {name for name, check in checks.items() if check["status"] in ("warn", "fail")}
    assert wrong <= {"disk"}
    assert checks["clock"]["status"] == "ok"


def test_no_clew_is_said(tmp_path: Path) -> None:
    result = subprocess.run(
        [*CLEW, "doctor", "--api", "127.0.0.1:1", "--data", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 1
    assert "FAIL  api              http://127.0.0.1:1: connection refused" in result.stdout
