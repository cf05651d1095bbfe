"""Pictures of every page for the documentation; each also checks that nothing overflows.

CLEW_SCREENS=write writes them to docs/screens."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from clew.storage import Store
from conftest import Visitor, serving
from support import shop
from support.pictures import reduced
from support.ui_pages import PAGES

pytestmark = pytest.mark.slow

SCREENS = Path(__file__).resolve().parents[2] / "docs/screens"
LARGEST = 150_000  # bytes
PICTURES = {name: path for page in PAGES for name, path in page.pictures.items()}


@pytest.fixture(scope="module")
def shown(
    emptied: Callable[[], Store], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str]]:
    """The URL of an API over a shop's telemetry, and the id of a trace of it."""
    store = emptied()
    trace = shop.load(store, tmp_path_factory.mktemp("shop"))
    with serving(store) as (url, _):
        yield url, trace


@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_fit(chromium: Any, shown: tuple[str, str], scheme: str, width: int) -> None:
    url, trace = shown
    viewport = {"width": width, "height": 900 if width > 500 else 844}
    visitor = Visitor(
        chromium, url, viewport=viewport, color_scheme=scheme, reduced_motion="reduce"
    )
    page = visitor.page
    for name, path in PICTURES.items():
        visitor.open(path.format(trace=trace, transaction="checkout"))
        if name == "trace":
            page.get_by_role("row").filter(has_text="POST cards.example").click()
            page.get_by_role("complementary", name="Span").get_by_role("tab").first.wait_for()
            visitor.settle()
        if name == "why":  # it stands below the charts
            page.get_by_role("tab", name="Why?").evaluate(
                "tab => scrollBy(0, tab.getBoundingClientRect().top - 60)"
            )
        widths = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert widths[0] <= widths[1], name
        if os.environ.get("CLEW_SCREENS") == "write":
            page.evaluate("() => new Promise(requestAnimationFrame)")
            empty = visitor.context.new_page()
            picture = reduced(empty, page.screenshot())
            empty.close()
            SCREENS.mkdir(exist_ok=True)
            (SCREENS / f"{name}-{scheme}-{width}.png").write_bytes(picture)
            assert len(picture) <= LARGEST, name
    visitor.close()
    assert visitor.complaints == []
