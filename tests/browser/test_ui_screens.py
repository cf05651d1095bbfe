"""Pictures of every page for the documentation; each also checks that nothing overflows.

CLEW_SCREENS=write writes them to docs/screens."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Visit = Callable[..., Any]

pytestmark = pytest.mark.slow

SCREENS = Path(__file__).resolve().parents[2] / "docs/screens"
LARGEST = 150_000  # bytes
PAGES = {
    "transactions": "/",
    "transaction": "/transactions/checkout",
    "traces": "/traces",
    "trace": "/traces/TRACE",
    "flame": "/traces/TRACE?view=flame",
    "start": "/start",
    "login": "/login",
}


@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_fits(visit: Visit, site: Any, name: str, scheme: str, width: int) -> None:
    viewport = {"width": width, "height": 900 if width > 500 else 844}
    visitor = visit(viewport=viewport, color_scheme=scheme, reduced_motion="reduce")
    page = visitor.open(PAGES[name].replace("TRACE", site.seeded.trace))
    if name == "trace":
        page.locator(".line").nth(2).click()
        visitor.settle()
    page.wait_for_timeout(300)
    widths = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert widths[0] <= widths[1]
    picture = page.screenshot()
    assert len(picture) <= LARGEST
    if os.environ.get("CLEW_SCREENS") == "write":
        SCREENS.mkdir(exist_ok=True)
        (SCREENS / f"{name}-{scheme}-{width}.png").write_bytes(picture)
