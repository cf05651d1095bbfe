"""The tests in a browser know every page of the web UI."""

from __future__ import annotations

import re
from pathlib import Path

from support.ui_pages import PAGES, TABS

UI = Path(__file__).resolve().parents[2] / "services/ui/src"


def test_every_route_is_a_page_that_is_tested() -> None:
    routes = re.findall(r'^  path: "(.+)",$', (UI / "router.tsx").read_text(), re.MULTILINE)
    assert routes
    assert sorted(page.route for page in PAGES) == sorted(routes)


def test_every_tab_of_a_transaction_is_tested() -> None:
    search = (UI / "features/transaction/search.ts").read_text()
    first, *others = re.findall(r'"(\w+)"', search.split("TABS = [")[1].split("]")[0])
    assert first == "breakdown"  # without a tab in the address
    assert sorted(TABS) == sorted(others)
