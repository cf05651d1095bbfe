"""`clew demo` as a person starts it."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from support.processes import CLEW, FREE_ADDRESSES


@pytest.mark.parametrize("seconds", [None, pytest.param("20", marks=pytest.mark.slow)])
def test_the_demo_shows_the_shop_and_leaves_nothing_behind(
    tmp_path: Path, seconds: str | None
) -> None:
    """It ends by Ctrl-C, here once all was shown, or after its seconds."""
    data, output = tmp_path / "data", tmp_path / "output"
    argv = [*CLEW, "demo", *FREE_ADDRESSES, "--data", str(data)]
    argv += ["--seconds", seconds] if seconds else []
    expected = {"storefront: POST /checkout", "fulfilment: POST"}

    def shown() -> set[str]:
        return _transactions_in(output.read_text().rpartition("business transaction")[2])

    with output.open("wb") as log, subprocess.Popen(argv, stdout=log, stderr=log) as demo:
        deadline = time.monotonic() + 180
        while demo.poll() is None and time.monotonic() < deadline:
            if not seconds and len(shown()) >= 5 and expected <= shown():
                break
            time.sleep(0.1)
        demo.send_signal(signal.SIGINT)
    text = output.read_text()
    assert demo.returncode == 0, text
    assert len(shown()) >= 5, text
    assert expected <= shown(), text
    assert "ClickHouse " not in text  # its addresses are those that it was given
    assert "Traceback" not in text
    assert _processes_with(str(data)) == []
    assert not (data / "endpoints.json").exists()


def _transactions_in(table: str) -> set[str]:
    """The names of its lines: name, rate, errors, p95."""
    return set(re.findall(r"^(\w+: .+?) +[\d.]+ +[\d.]+% +[\d.]+$", table, re.MULTILINE))


def _processes_with(text: str) -> list[str]:
    """Command lines of running processes in which, or in whose environment, the text occurs."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command, environment = (
                (process / name).read_bytes() for name in ("cmdline", "environ")
            )
            if process.name != str(os.getpid()) and text.encode() in command + environment:
                found.append(command.decode(errors="replace"))
    return found
