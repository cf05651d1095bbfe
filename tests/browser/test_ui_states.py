"""Pages without data: loading, empty, refused, busy, cut off, and parts of an answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from clew.analysis.alerts.rules import read
from support.ui_pages import PAGES, Page

Visit = Callable[..., Any]

pytestmark = pytest.mark.slow

ANSWERS = {page.route: page.answer for page in PAGES if page.answer}
ASKING = [page for page in PAGES if page.answer]
of_each_page = pytest.mark.parametrize("shown", ASKING, ids=lambda page: page.route)
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


@of_each_page
def test_errors_say_what_to_do(visit: Visit, site: Any, shown: Page) -> None:
    visitor = visit()
    address = visitor.url + shown.address.format(trace=site.seeded.trace, transaction="checkout")
    for status, title in PROBLEMS.items():
        visitor.page.unroute_all()
        visitor.page.route(shown.answer, _problem(status))
        visitor.page.goto(address)
        alert = visitor.page.get_by_role("alert").first
        alert.get_by_text(title).wait_for()
        alert.get_by_text(f"detail of {status}").wait_for()
    visitor.page.unroute_all()
    visitor.page.route(shown.answer, lambda route: route.abort())
    visitor.page.goto(address)
    visitor.page.get_by_role("alert").get_by_text("No answer").first.wait_for()
    visitor.page.unroute_all()
    visitor.page.get_by_role("button", name="Ask again").first.wait_for()


@of_each_page
def test_loading_has_a_shape(visit: Visit, site: Any, shown: Page) -> None:
    visitor = visit()
    visitor.page.route(shown.answer, lambda route: None)
    address = shown.address.format(trace=site.seeded.trace, transaction="checkout")
    visitor.page.goto(visitor.url + address)
    visitor.page.locator(".loading .bone").first.wait_for()
    visitor.page.unroute_all(behavior="ignoreErrors")


def test_what_does_not_exist_says_so(visit: Visit) -> None:
    visitor = visit()
    for path in filter(None, (page.absent for page in PAGES)):
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
    visitor.open("/problems?q=nothing")
    assert "No problem is like that." in visitor.tree()


def test_without_a_problem_the_page_says_what_is_watched(visit: Visit) -> None:
    visitor = visit()
    _changed(visitor, ANSWERS["/problems"], lambda document: document | {"alerts": []})
    page = visitor.open("/problems")
    assert "No problem is known." in visitor.tree()
    assert read(page.get_by_text("rules:").inner_text().encode()).rules[0].name == "checkout slow"
    assert page.locator(".open-problems").count() == 0


def _changed(visitor: Any, pattern: str, change: Callable[[Any], Any]) -> None:
    """Changes the JSON of answers, of a stream its first line."""

    def answer(route: Any) -> None:
        real = route.fetch()
        first, *rest = real.text().split("\n", 1)
        route.fulfill(response=real, body="\n".join([json.dumps(change(json.loads(first))), *rest]))

    visitor.page.route(pattern, answer)


CUT = {"truncated": True, "pending": 7, "settled_until": "2020-01-01T00:00:00.000000000Z"}
JOINED, PENDING = "is not joined yet", "7 items are received"
# By page: answers of it, and what its note says of them.
PARTS = {
    "/": (ANSWERS["/"], ["Not everything is shown of the list", PENDING, JOINED]),
    "/transactions/checkout": (
        ANSWERS["/transactions/$id"],
        ["the transaction: ", PENDING, JOINED],
    ),
    "/transactions/checkout?": (
        "**/checkout/heatmap?*",
        ["Not everything is shown of the heatmap", PENDING, JOINED],
    ),
    "/transactions/checkout?tab=occurrences": (
        "**/checkout/instances?*",
        ["Cut in the occurrences: occurrences to", PENDING, JOINED],
    ),
    "/transactions/checkout?tab=funnel": ("**/checkout/funnel?*", [PENDING, JOINED]),
    "/traces": (ANSWERS["/traces"], ["Cut in the search: traces to", PENDING]),
    "/traces/DEEP": ("**/api/v1/traces/*/logs*", ["Cut in the trace's log records: logs to"]),
}


@pytest.mark.parametrize("path", PARTS)
def test_a_part_of_an_answer_says_so(visit: Visit, site: Any, path: str) -> None:
    pattern, notes = PARTS[path]
    visitor = visit()
    _changed(visitor, pattern, lambda document: document | CUT)
    page = visitor.open(path.replace("DEEP", site.seeded.deep))
    for note in notes:
        page.get_by_role("status").get_by_text(note).first.wait_for()


def test_a_list_that_was_cut_is_named(visit: Visit) -> None:
    visitor = visit()
    log = {"level": "info", "severity": "INFO", "service": "x", "body": "x", "attributes": {}}
    log |= {"time": "2020-01-01T00:00:00Z", "trace_id": "", "span_id": "", "linked_by": "trace"}
    cut = {"truncated": True, "logs": [log] * 200}
    _changed(visitor, ANSWERS["/transactions/$id"], lambda document: document | cut)
    page = visitor.open("/transactions/checkout")
    page.get_by_text("Cut in the transaction: logs to 200.").wait_for()


def test_a_sample_says_its_error(visit: Visit) -> None:
    visitor = visit()
    sample = {"traces": 10, "of": 4000, "error": 0.03}
    _changed(visitor, ANSWERS["/transactions/$id"], lambda document: document | {"sample": sample})
    page = visitor.open("/transactions/checkout")
    page.get_by_text("from 10 of 4,000 traces, ± 3").first.wait_for()


def test_a_part_of_a_trace_says_so(visit: Visit, site: Any) -> None:
    visitor = visit()
    cut = {"truncated": True, "complete": False, "span_count": 5000}
    _changed(visitor, "**/outline*", lambda document: document | cut)
    visitor.page.route("**/api/v1/traces/*/logs*", _problem(503))
    page = visitor.open(f"/traces/{site.seeded.deep}")
    page.get_by_text("Some parent spans have not come").wait_for()
    page.get_by_text("The first 13 of 5,000 spans").wait_for()
    page.get_by_text("Without log records: detail of 503").wait_for()


def test_who_must_wait_is_told_how_long(visit: Visit) -> None:
    visitor = visit()
    body = {"status": 503, "detail": "merges are behind"}
    headers = {"content-type": "application/problem+json", "retry-after": "7"}
    asked = []

    def busy(route: Any) -> None:
        asked.append(route)
        route.fulfill(status=503, headers=headers, body=json.dumps(body))

    visitor.page.route(ANSWERS["/traces"], busy)
    visitor.page.goto(f"{visitor.url}/traces")
    alert = visitor.page.get_by_role("alert")
    alert.get_by_text("merges are behind Try again in 7 s.").wait_for()
    assert len(asked) == 1
    visitor.page.unroute_all()
    alert.get_by_role("button", name="Ask again").click()
    visitor.page.get_by_role("table", name="Traces").wait_for()


def test_what_was_read_stays_when_the_network_goes(visit: Visit) -> None:
    visitor = visit()
    page = visitor.open("/?live=true")
    page.route("**/api/**", lambda route: route.abort())
    page.get_by_text("This page is not current: clew does not answer").wait_for()
    page.get_by_role("table", name="Transactions").wait_for()
    page.unroute_all(behavior="ignoreErrors")
    page.get_by_text("This page is not current").wait_for(state="detached")
