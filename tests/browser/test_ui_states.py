"""Pages without data: loading, empty, refused, busy, cut off, and parts of an answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

Visit = Callable[..., Any]

pytestmark = pytest.mark.slow

PAGES = {
    "/": "**/api/v1/transactions?*",
    "/transactions/checkout": "**/api/v1/transactions/checkout?*",
    "/traces": "**/api/v1/traces?*",
    "/traces/0123456789abcdef0123456789abcdef": "**/api/v1/traces/*/outline*",
}
PROBLEMS = {
    401: "An API key is needed",
    403: "Your key does not allow this",
    422: "This cannot be answered as asked",
    429: "Too many requests at once",
    503: "The database is busy",
}


def _problem(status: int) -> Callable[[Any], None]:
    body = {"status": status, "title": "?", "detail": f"detail of {status}"}
    headers = {"content-type": "application/problem+json", "retry-after": "0"}
    return lambda route: route.fulfill(status=status, headers=headers, body=json.dumps(body))


@pytest.mark.parametrize("path", PAGES)
def test_errors_say_what_to_do(visit: Visit, path: str) -> None:
    visitor = visit()
    for status, title in PROBLEMS.items():
        visitor.page.unroute_all()
        visitor.page.route(PAGES[path], _problem(status))
        visitor.page.goto(visitor.url + path)
        alert = visitor.page.get_by_role("alert").first
        alert.get_by_text(title).wait_for()
        alert.get_by_text(f"detail of {status}").wait_for()
    visitor.page.unroute_all()
    visitor.page.route(PAGES[path], lambda route: route.abort())
    visitor.page.goto(visitor.url + path)
    visitor.page.get_by_role("alert").get_by_text("No answer").first.wait_for()
    visitor.page.unroute_all()
    visitor.page.get_by_role("button", name="Ask again").first.wait_for()


@pytest.mark.parametrize("path", PAGES)
def test_loading_has_a_shape(visit: Visit, path: str) -> None:
    visitor = visit()
    visitor.page.route(PAGES[path], lambda route: None)
    visitor.page.goto(visitor.url + path)
    visitor.page.locator(".loading .bone").first.wait_for()
    visitor.page.unroute_all(behavior="ignoreErrors")


def test_an_unknown_trace_and_transaction(visit: Visit) -> None:
    visitor = visit()
    for path in ("/traces/0123456789abcdef0123456789abcdef", "/transactions/none"):
        visitor.page.goto(visitor.url + path)
        visitor.page.get_by_role("alert").get_by_text("There is no such thing").wait_for()
    visitor.open("/nothing")
    assert "There is no such page" in visitor.tree()


def test_nothing_in_the_window(visit: Visit) -> None:
    visitor = visit()
    old = "start=2020-01-01T00:00:00Z&end=2020-01-01T01:00:00Z"
    visitor.open(f"/traces?{old}")
    assert "No trace matches in this time." in visitor.tree()
    visitor.open(f"/?q=nothing&{old}")
    assert "No transaction has" in visitor.tree()
    visitor.open(f"/?{old}")
    assert "Send your first trace" in visitor.tree()
    visitor.open("/start")
    assert "storefront" in visitor.tree()


def test_a_part_of_an_answer_says_so(visit: Visit) -> None:
    visitor = visit()

    def cut(route: Any) -> None:
        answer = route.fetch()
        document = answer.json() | {"truncated": True, "pending": 7}
        document["settled_until"] = "2020-01-01T00:00:00.000000000Z"
        route.fulfill(response=answer, json=document)

    visitor.page.route(PAGES["/"], cut)
    visitor.open("/")
    text = visitor.page.locator(".part").inner_text()
    assert "Not everything is shown" in text
    assert "7 items are received" in text
    assert "not joined yet" in text
