"""What a process tells `clew doctor` of itself."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from clew.agent import report


def test_a_process_that_ends_at_once_has_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its threads may never have run."""
    monkeypatch.setattr(report, "start_new_thread", lambda *_: None)
    report._Report(tmp_path).begin()
    (path,) = tmp_path.iterdir()
    assert json.loads(path.read_text())["pid"] == os.getpid()


def test_a_report_that_cannot_be_written_is_a_line_on_stderr(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report._Report(tmp_path / "missing").begin()
    assert "the report for clew doctor ends" in capsys.readouterr().err
