"""From the list to a span, by clicks on what one sees."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from conftest import DESKTOP, PHONE
from support.ui_pages import PAGES

Visit = Callable[..., Any]


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_three_clicks_lead_from_the_list_to_a_span(visit: Visit, viewport: dict[str, int]) -> None:
    visitor = visit(viewport=viewport)
    page = visitor.open("/")
    page.get_by_text("Checkout", exact=True).click()
    visitor.settle()
    page.get_by_role("heading", name="Checkout").wait_for()
    page.locator(".examples a").first.click()
    visitor.settle()
    page.get_by_role("treegrid", name="Spans").get_by_text("POST /checkout").first.click()
    page.get_by_role("complementary", name="Span").get_by_role("tab", name="Resource").wait_for()
    assert "span=" in page.url


def test_the_headers_and_the_console_of_every_page(visit: Visit, site: Any) -> None:
    visitor = visit()
    for page in PAGES:
        address = page.absent or page.address
        response = visitor.page.goto(visitor.url + address)
        assert "require-trusted-types-for 'script'" in response.headers["content-security-policy"]
        visitor.settle()


def test_keys_move_and_open(visit: Visit) -> None:
    visitor = visit()
    page = visitor.open("/")
    page.keyboard.press("j")
    page.keyboard.press("j")
    assert page.evaluate("document.activeElement.dataset.row") is not None
    page.keyboard.press("Enter")
    page.wait_for_url("**/transactions/**")
    page.keyboard.press("g")
    page.keyboard.press("s")
    page.wait_for_url("**/traces*")
    page.keyboard.press("Control+k")
    page.locator("[role=combobox]:focus").wait_for()
    page.keyboard.type("checkout")
    page.locator("[role=option][data-active-item]").get_by_text("Checkout").wait_for()
    page.keyboard.press("Enter")
    page.wait_for_url("**/transactions/**")
    page.get_by_role("dialog").wait_for(state="hidden")
    visitor.settle()
    page.keyboard.press("?")
    page.get_by_role("dialog").get_by_text("critical path only").wait_for()
