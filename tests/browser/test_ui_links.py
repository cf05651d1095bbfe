"""What one sees stands in the URL: another browser sees the same, and going back undoes."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from typing import Any

import pytest

from conftest import PHONE
from support import problems, repeated
from support.ui_pages import PAGES

Visit = Callable[..., Any]
Act = Callable[[Any, Any], None]  # of a page, and of what is stored

pytestmark = pytest.mark.slow


def click(name: str, role: str = "button") -> Act:
    return lambda page, _: page.get_by_role(role, name=name, exact=True).first.click()


def fill(label: str, text: str) -> Act:
    return lambda page, _: page.get_by_label(label, exact=True).fill(text)


def enter(label: str, text: str) -> Act:
    def act(page: Any, seeded: Any) -> None:
        page.get_by_label(label, exact=True).fill(text.replace("TRACE", seeded.trace))
        page.keyboard.press("Enter")

    return act


def select(label: str, value: str) -> Act:
    return lambda page, _: page.get_by_role("combobox", name=label).select_option(value)


def choose(button: str, name: str, role: str) -> Act:
    def act(page: Any, _: Any) -> None:
        page.get_by_role(role if role == "combobox" else "button", name=re.compile(button)).click()
        page.get_by_role("option" if role == "combobox" else "button", name=name).click()

    return act


def span(name: str) -> Act:
    """A click on the line of the first span with the name."""
    return lambda page, _: page.get_by_role("row", name=name).first.click()


def drag(selector: str) -> Act:
    """A brush over the middle of the first element that matches."""

    def act(page: Any, _: Any) -> None:
        page.locator(selector).first.scroll_into_view_if_needed()
        box = page.locator(selector).first.bounding_box()
        for share, press in ((0.1, page.mouse.down), (0.9, page.mouse.up)):
            page.mouse.move(box["x"] + box["width"] * share, box["y"] + box["height"] * share)
            page.mouse.move(
                box["x"] + box["width"] * (share + 0.02), box["y"] + box["height"] * share
            )
            press()

    return act


CHECKOUT, DEEP = "/transactions/checkout", "/traces/DEEP"
# What is done on a page, and what the URL says of it.
CHANGES: dict[str, tuple[str, list[tuple[Act, str]]]] = {
    "list, filtered": ("/", [(fill("Filter transactions", "GET"), "q=GET")]),
    "list, sorted": ("/", [(click("p95"), "sort=p95")]),
    "list, baseline": ("/", [(select("compared with", "-24h"), "vs=-24h")]),
    "list, time range": ("/", [(choose("Time range", "last day", "button"), "start=-24h")]),
    "list, environment": ("/", [(choose("Environment", "prod", "combobox"), "env=prod")]),
    "transaction, occurrences in error": (
        CHECKOUT,
        [
            (click("Occurrences", "tab"), "tab=occurrences"),
            (click("Errors only"), "outcome=error"),
            (click("Duration"), "sort=duration"),
        ],
    ),
    "transaction, percentiles": (CHECKOUT, [(click("Percentiles"), "chart=percentiles")]),
    "transaction, brushed heatmap": (CHECKOUT, [(drag(".heatmap .u-over"), "brush=")]),
    "transaction, brushed chart": (
        CHECKOUT,
        [(drag(".chart:not(.heatmap) .u-over"), r"start=.*\.\d\d\dZ")],
    ),
    "traces, filtered": (
        "/traces",
        [
            (select("Status", "error"), "status=error"),
            (enter("Attribute: key=value, key~part, key>number", "amount>1"), "attr="),
        ],
    ),
    "traces, sorted": ("/traces", [(click("Duration"), "sort=duration")]),
    "trace, span": (
        DEEP,
        [(span("read file"), "span=0+2"), (click("Resource", "tab"), "part=resource")],
    ),
    "trace, second span": (
        DEEP,
        [(span("read file"), "span=0+2"), (span("POST /stock"), "span=0+4")],
    ),
    "trace, levels": (DEEP, [(click("1 levels"), "level=2")]),
    "trace, closed": (DEEP, [(click("Close"), "closed=.*0")]),
    "trace, opened fold": (DEEP, [(click("Show 8 spans"), "opened=.*3")]),
    "trace, search": (DEEP, [(fill("Find in the trace", "stock"), "q=stock")]),
    "trace, critical path": (DEEP, [(click("Critical path"), "critical=true")]),
    "trace, without logs": (DEEP, [(click("Logs"), "logs=false")]),
    "trace, brushed minimap": (DEEP, [(drag(".minimap"), "from=")]),
    "trace, flame graph": (DEEP, [(click("Flame graph"), "view=flame")]),
    "trace, compared": (
        DEEP,
        [
            (click("Compare"), "view=compare"),
            (enter("Id of the trace to compare with", "TRACE"), "with="),
        ],
    ),
    "problems, filtered": ("/problems", [(fill("Filter problems", "burn"), "q=burn")]),
    "problems, state and severity": (
        "/problems",
        [(select("State", "open"), "state=open"), (select("Severity", "page"), "severity=page")],
    ),
    "problems, sorted": ("/problems", [(click("Since"), "sort=since")]),
    "findings, filtered": ("/findings", [(fill("Filter findings", "swallowed"), "q=swallowed")]),
    "findings, state": ("/findings", [(select("State", "ignored"), "state=ignored")]),
    "findings, sorted": ("/findings", [(click("Saves a day"), "sort=-cost")]),
    "third parties, time range": (
        "/third-parties",
        [(choose("Time range", "last day", "button"), "start=-24h")],
    ),
    "service, time range": (
        "/services/payments",
        [(choose("Time range", "last day", "button"), "start=-24h")],
    ),
    "finding, time range": (
        f"/findings/{repeated.FINDING}",
        [(choose("Time range", "last day", "button"), "start=-24h")],
    ),
    "problem, time range": (
        f"/problems/{problems.CAUSE}",
        [(choose("Time range", "last day", "button"), "start=-24h")],
    ),
    "problems, unfolded": (
        "/problems",
        [(lambda page, _: page.locator("[data-fold]").click(), f"opened={problems.CAUSE}")],
    ),
}


def test_something_is_done_on_every_page() -> None:
    paths = {path for path, _ in CHANGES.values()}
    undone = [
        page.route
        for page in PAGES
        if page.has_state
        and not any(re.fullmatch(re.sub(r"\$\w+", "[^/]+", page.route), path) for path in paths)
    ]
    assert undone == []


@pytest.mark.parametrize("name", CHANGES)
def test_a_link_shows_the_same_in_another_browser(visit: Visit, site: Any, name: str) -> None:
    path, actions = CHANGES[name]
    path = path.replace("DEEP", site.seeded.deep)
    visitor = visit()
    page = visitor.open(f"{path}?start={_time(site.seeded.start)}&end={_time(site.seeded.end)}")
    seen = [(page.url, _tree(visitor))]
    for act, written in actions:
        act(page, site.seeded)
        page.wait_for_url(re.compile(f"[?&]{written}"))
        visitor.settle()
        seen.append((page.url, _tree(visitor)))
    assert seen[-1][1] != seen[0][1]
    assert not re.search(r"%22|=(&|$)", page.url), "plain texts, and only what is set"
    other = visit()
    other.page.goto(page.url)
    other.settle()
    assert _tree(other) == seen[-1][1]
    if "q=" in page.url:
        return  # what is typed takes the place of the URL before it: it is no step to undo
    undone, redone = seen[-2::-1], seen[1:]
    for (url, tree), move in [
        *((step, page.go_back) for step in undone),
        *((step, page.go_forward) for step in redone),
    ]:
        move()
        visitor.settle()
        assert page.url == url
        assert _tree(visitor) == tree


def test_a_span_of_a_link_is_in_sight_above_its_details(visit: Visit, site: Any) -> None:
    page = visit(viewport=PHONE).open(f"/traces/{site.seeded.deep}")
    page.get_by_role("treegrid", name="Spans").focus()
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("span="))
    other = visit(viewport=PHONE)
    page = other.open(page.url.removeprefix(site.url))
    line = page.locator(".line.selected").bounding_box()
    details = page.get_by_role("complementary", name="Span").bounding_box()
    assert line["y"] + line["height"] <= details["y"]
    assert page.evaluate("document.documentElement.scrollHeight <= window.innerHeight")


def _tree(visitor: Any) -> str:
    """What is seen, without what moves by itself: why a problem lasts is asked until now, and what
    is absent or waits does so for longer with each minute."""
    end = r"end=[^&\s]*\.0{9}Z"  # as the answer has it
    moving = rf"compared with [\d:]+ to [\d:]+|{end}|(nothing|the oldest) for \d+ min"
    return re.sub(moving, "", visitor.tree())


def _time(seconds: int) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
