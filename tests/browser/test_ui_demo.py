"""Somebody who has never seen clew finds the slow payment call of the demo's shop in three clicks."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from conftest import DESKTOP, PHONE, Visitor
from support.processes import CLEW, FREE_ADDRESSES

pytestmark = pytest.mark.slow

ENOUGH = 60  # checkouts, of which some are slow


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a demo that has run for a while."""
    data = tmp_path_factory.mktemp("demo") / "data"
    argv = [*CLEW, "demo", *FREE_ADDRESSES, "--data", str(data)]
    log = data.parent / "log"
    with log.open("wb") as output, subprocess.Popen(argv, stdout=output, stderr=output) as process:
        try:
            yield _url_with_checkouts(data, process, log)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)


def _url_with_checkouts(data: Path, process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            url = str(json.loads((data / "endpoints.json").read_text())["api"])
            view = httpx.get(f"{url}/api/v1/transactions/checkout", timeout=30).json()
            if view["transaction"]["count"] >= ENOUGH and view["traces"]["slowest"]:
                return url
        except (OSError, ValueError, KeyError, httpx.HTTPError):
            pass
        time.sleep(0.5)
    raise AssertionError(log.read_text())


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_three_clicks_find_the_slow_payment(chromium: Any, demo: str, viewport: Any) -> None:
    visitor = Visitor(chromium, demo, viewport=viewport)
    page = visitor.open("/")
    page.get_by_text("Checkout", exact=True).click()
    visitor.settle()
    page.locator(".examples a").first.click()  # the slowest; its text is its duration
    visitor.settle()
    page.get_by_role("treegrid", name="Spans").get_by_text(
        "POST /charges", exact=True
    ).first.click()
    span = page.get_by_role("complementary", name="Span")
    span.get_by_role("heading", name="POST /charges").wait_for()
    span.get_by_text("payments", exact=True).first.wait_for()
    visitor.close()
    assert visitor.complaints == []
