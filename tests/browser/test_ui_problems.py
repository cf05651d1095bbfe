"""Problems in a browser: the list and its folds, and what one does about a problem."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from support import problems

Visit = Callable[..., Any]

pytestmark = pytest.mark.slow


def test_problems_of_one_cause_are_folded(visit: Visit) -> None:
    visitor = visit()
    page = visitor.open("/")
    assert page.locator(".open-problems").inner_text().split() == ["2", "open"]
    page.keyboard.press("g")
    page.keyboard.press("p")
    rows = page.get_by_role("table", name="Problems").locator("tbody tr")
    rows.first.wait_for()
    assert rows.count() == 4
    page.keyboard.press("j")
    page.keyboard.press("o")
    page.wait_for_url(f"**opened={problems.CAUSE}*")
    assert rows.count() == 6
    assert "Checkout: slow requests" in rows.nth(1).inner_text() + rows.nth(2).inner_text()
    page.keyboard.press("o")
    page.wait_for_url(lambda url: "opened=" not in url)
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/problems/{problems.CAUSE}*")
    page.get_by_role("heading", name="payments POST /charges").wait_for()


def test_a_problem_leads_to_its_transaction_in_its_time(visit: Visit) -> None:
    visitor = visit()
    visitor.open(f"/problems?opened={problems.CAUSE}")
    visitor.page.get_by_role("link", name="Checkout: slow requests").click()
    page = visitor.settle()
    page.get_by_role("region", name="With the same cause").get_by_text("the cause").wait_for()
    page.get_by_role("link", name="Transaction Checkout").click()
    page.wait_for_url("**/transactions/checkout?start=20*")
    assert "env=prod" in page.url
    visitor.settle()
    page.get_by_role("heading", name="Checkout").wait_for()


def test_what_one_does_about_a_problem(visit: Visit, site: Any) -> None:
    visitor = visit()
    visitor.open("/problems")
    visitor.page.get_by_role("link", name="inventory POST /stock").first.click()
    page = visitor.settle()
    alert = page.url.rpartition("/")[2].partition("?")[0]
    note = page.get_by_label("A note, or why")
    note.fill("the index is missing")
    page.get_by_role("button", name="Acknowledge").click()
    said = page.get_by_role("region", name="What people said")
    said.get_by_text("took it: the index is missing").wait_for()
    assert note.input_value() == ""
    page.get_by_role("button", name="Noise").click()
    said.get_by_text("said it was noise").wait_for()
    page.get_by_role("button", name="Silence for 4 hours").click()
    page.get_by_role("button", name="End the silence").wait_for()
    (silence,) = httpx.get(f"{site.url}/api/v1/silences").json()["silences"]
    assert silence["reason"] == "silenced on its page"
    assert silence["match"] == {
        "rule": "clew: regression",
        "environment": "prod",
        "service": "inventory",
        "operation": "POST /stock",
    }
    stored = httpx.get(f"{site.url}/api/v1/alerts/{alert}").json()["alert"]
    assert (stored["acknowledged_by"], stored["silenced_by"]) == ("", silence["id"])
    page.get_by_role("button", name="End the silence").click()
    page.get_by_role("button", name="Silence for 1 hour").wait_for()
    assert httpx.get(f"{site.url}/api/v1/silences").json()["silences"] == []


def test_a_refusal_is_shown(visit: Visit) -> None:
    visitor = visit()
    page = visitor.open(f"/problems/{problems.CAUSE}")
    page.route("**/acknowledge", lambda route: route.fulfill(status=409, json={"detail": "why"}))
    page.get_by_role("button", name="Acknowledge").click()
    page.get_by_role("alert").get_by_text("why").wait_for()
