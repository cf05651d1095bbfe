"""What one sees stands in the URL: another browser sees the same, and going back undoes."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import pytest

Visit = Callable[..., Any]

pytestmark = pytest.mark.slow


CHANGES: dict[str, tuple[str, list[tuple[str, str]]]] = {
    "list, filtered": ("/", [("fill", "Filter transactions=GET")]),
    "list, sorted": ("/", [("click", "p95")]),
    "transaction, tab": (
        "/transactions/checkout",
        [("tab", "Occurrences"), ("click", "Errors only")],
    ),
    "transaction, percentiles": ("/transactions/checkout", [("click", "Percentiles")]),
    "traces, errors": ("/traces", [("select", "Status=error")]),
    "trace, span": ("/traces/TRACE", [("line", "1"), ("tab", "Resource")]),
    "trace, levels": ("/traces/TRACE", [("click", "1")]),
    "trace, closed": ("/traces/TRACE", [("close", "0")]),
    "trace, search": ("/traces/TRACE", [("fill", "Find in the trace=stock")]),
    "trace, flame graph": ("/traces/TRACE", [("click", "Flame graph")]),
}


def _act(page: Any, action: str, target: str) -> None:
    name, _, value = target.partition("=")
    if action == "fill":
        page.get_by_label(name).fill(value)
        page.wait_for_url(f"**q={value}*")
    elif action == "select":
        page.get_by_label(name, exact=True).select_option(value)
    elif action == "tab":
        page.get_by_role("tab", name=name).click()
    elif action == "line":
        page.locator(".line").nth(int(name)).click()
        page.get_by_role("complementary", name="Span").get_by_role("tab").first.wait_for()
        page.wait_for_url("**span=*")
    elif action == "close":
        page.get_by_role("treegrid").get_by_label("Close").nth(int(name)).click()
    else:
        page.get_by_role("button", name=name, exact=True).first.click()


@pytest.mark.parametrize("name", CHANGES)
def test_a_link_shows_the_same_in_another_browser(visit: Visit, site: Any, name: str) -> None:
    path, actions = CHANGES[name]
    path = path.replace("TRACE", site.seeded.trace)
    window = f"start={_time(site.seeded.start)}&end={_time(site.seeded.end)}"
    visitor = visit()
    visitor.open(f"{path}?{window}")
    before, start = visitor.tree(), visitor.page.url
    for action in actions:
        _act(visitor.page, *action)
        visitor.settle()
    seen = visitor.tree()
    assert seen != before
    other = visit()
    other.page.goto(visitor.page.url)
    other.settle()
    assert other.tree() == seen
    steps = 0
    while visitor.page.url != start and steps < 5:
        visitor.page.go_back()
        steps += 1
    if actions[0][0] != "fill":  # what is typed replaces the URL: it is no step of its own
        visitor.settle()
        assert visitor.tree() == before
        visitor.page.go_forward()
        visitor.settle()
        assert visitor.page.url != start


def _time(seconds: int) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
