"""What `clew demo` prints: a terminal is drawn anew, a log gets only what changes, and a start that takes too long is no
start that failed."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from clew.cli import demo
from clew.cli.settings import UsageError

ADDRESSES = ["web UI     http://127.0.0.1:4319", "API        http://127.0.0.1:4319"]


def transaction(name: str) -> dict[str, Any]:
    return {"name": name, "per_second": 2.5, "error_rate": 0.05, "duration_ms": {"p95": 443.7}}


def test_a_log_has_the_addresses_once_and_a_table_for_each_new_transaction(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr(demo.time, "monotonic", lambda: now)
    output = io.StringIO()
    screen = demo.Screen(ADDRESSES, output)

    def printed(news: str, *names: str) -> str:
        output.seek(0)
        output.truncate()
        screen.show(news, [transaction(name) for name in names])
        return output.getvalue()

    assert printed("begins later") == "\n".join([*ADDRESSES, "fault      begins later", ""])
    assert printed("begins later") == ""
    table = printed("begins later", "Checkout")
    assert table.splitlines() == [
        "",
        "business transaction                          per second    errors    p95 ms",
        "Checkout                                            2.50      5.0%     443.7",
    ]
    assert printed("begins later", "Checkout") == ""
    assert "shop: GET /" in printed("begins later", "shop: GET /", "Checkout")
    assert printed("began", "shop: GET /") == "fault      began\n"
    now += demo.TABLE_EVERY
    assert printed("began", "Checkout") == table
    assert printed("began", "Checkout") == ""


def test_a_terminal_is_drawn_anew_each_time() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    output = Terminal()
    screen = demo.Screen(ADDRESSES, output)
    screen.show("", [transaction("Checkout")])
    first = output.getvalue()
    assert first.startswith("\x1b[H\x1b[2J" + ADDRESSES[0])
    assert first.endswith("443.7\n\nCtrl-C stops it all\n")
    screen.show("", [transaction("Checkout")])
    assert output.getvalue() == first * 2


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("import time; time.sleep(60)", "was not ready after 1 seconds: start the demo again"),
        ("raise SystemExit('no room')", "clew did not start; .*clew.log says why"),
        ("raise SystemExit('clew: the port is taken')", "^the port is taken$"),
    ],
)
def test_a_platform_that_is_late_or_ended_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, message: str
) -> None:
    is_late = "sleep" in script
    monkeypatch.setattr(demo, "START_TIMEOUT", 1.0 if is_late else 60.0)
    log = tmp_path / "clew.log"
    with (
        log.open("wb") as output,
        subprocess.Popen([sys.executable, "-c", script], stderr=output) as platform,
    ):
        try:
            with pytest.raises(UsageError, match=message):
                demo._wait_for_endpoints(tmp_path, platform, log)
        finally:
            platform.kill()


def test_a_service_that_does_not_listen_is_named_with_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "START_TIMEOUT", 0.2)
    (port,) = demo._free_ports(1)
    with pytest.raises(UsageError, match=r"^orders did not listen after 0.2 .*orders\.log may say"):
        demo._wait_for_port("orders", port, tmp_path / "orders.log")
