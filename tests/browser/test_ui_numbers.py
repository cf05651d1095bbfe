"""Every number opens what it counts, every panel's SQL runs on the ClickHouse port, and no page
asks for more than a browser sends at once."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from support.ui_pages import PAGES

Visit = Callable[..., Any]

pytestmark = pytest.mark.slow

ADDRESSES = [address for page in PAGES for address in page.addresses]
WITH_PANELS = [address for page in PAGES if page.has_state for address in page.addresses]

HOUR = 3600
ROWS = 3  # of a table, whose numbers are opened


def _time(seconds: int) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _path(site: Any, path: str, whole: int = 1) -> str:
    """The address, for the time of what is stored, or for the whole hours around it."""
    start, end = site.seeded.start // whole * whole, -(-site.seeded.end // whole) * whole
    window = f"start={_time(start)}&end={_time(end)}"
    address = path.format(trace=site.seeded.trace, transaction="checkout")
    return address + ("&" if "?" in path else "?") + window


def test_counts_and_errors_of_the_list_open_as_many_occurrences(visit: Visit, site: Any) -> None:
    visitor = visit()
    page = visitor.open(_path(site, "/"))
    rows = page.locator("tbody tr").evaluate_all(
        """rows => rows.map(row => ({
            count: row.lastElementChild.innerText,
            link: row.lastElementChild.querySelector("a").getAttribute("href"),
            errors: [...row.querySelectorAll("a.error")].map(link => link.getAttribute("href")),
        }))"""
    )
    assert len(rows) >= 4
    listed = httpx.get(f"{site.url}/api/v1/transactions", params=_window(site)).json()
    errors = {one["id"]: one["errors"] for one in listed["transactions"]}
    for row in rows:
        visitor.open(row["link"])
        assert _noted(page) == int(row["count"].replace(",", ""))
        for link in row["errors"]:
            visitor.open(link)
            transaction = re.findall(r"/transactions/([\w-]+)", link)[0]
            assert _noted(page) == errors[transaction]


def _window(site: Any) -> dict[str, str]:
    return {"start": _time(site.seeded.start), "end": _time(site.seeded.end)}


def _noted(page: Any) -> int:
    panel = page.get_by_role("region", name="Occurrences")
    return int(panel.locator(".panel-head .small").inner_text().split()[0].replace(",", ""))


def test_numbers_of_a_transaction_open_its_occurrences(visit: Visit, site: Any) -> None:
    visitor = visit()
    page = visitor.open(_path(site, "/transactions/checkout"))
    answer = httpx.get(f"{site.url}/api/v1/transactions/checkout", params=_window(site)).json()
    checkout = answer["transaction"]
    links = dict(
        page.locator(".facts > div:has(a)").evaluate_all(
            """facts => facts.map(fact => [
                fact.querySelector("dt").innerText, fact.querySelector("a").getAttribute("href")
            ])"""
        )
    )
    assert set(links) >= {"p95", "p50", "rate", "errors", "value lost"}
    for name, number in (
        ("rate", checkout["count"]),
        ("errors", checkout["errors"]),
        ("value lost", checkout["errors"]),
    ):
        visitor.open(links[name])
        assert _noted(page) == number
    visitor.open(links["p50"])
    assert abs(_noted(page) - checkout["count"] / 2) <= 1


def test_numbers_of_what_differs_open_the_occurrences_of_the_region(
    visit: Visit, site: Any
) -> None:
    visitor = visit()
    window = _window(site)
    visitor.open(
        _path(site, f"/transactions/checkout?brush={window['start']}~{window['end']}~100~")
    )
    panel = visitor.page.get_by_role("region", name="What differs there")
    traces = panel.locator("h3 a")
    number = int(traces.inner_text().split()[0])
    shares = panel.locator(".shares li").evaluate_all(
        """rows => rows.map(row => [
            parseFloat(row.querySelector("a").innerText),
            row.querySelector("a").getAttribute("href"),
        ])"""
    )
    visitor.open(traces.get_attribute("href"))
    assert _noted(visitor.page) == number
    for share, link in shares:
        visitor.open(link)
        assert _noted(visitor.page) == round(share * number / 100)


@pytest.mark.parametrize("tab", ["breakdown", "calls", "exceptions", "funnel"])
def test_rows_of_a_transaction_open_what_they_count(visit: Visit, site: Any, tab: str) -> None:
    visitor = visit()
    page = visitor.open(_path(site, f"/transactions/checkout?tab={tab}"))
    numbers = page.locator(".tab-panel a.number").evaluate_all(
        "links => links.map(link => [link.innerText, link.getAttribute('href')])"
    )
    assert numbers
    for text, link in numbers[: 2 * ROWS : 2] + numbers[1 : 2 * ROWS : 2]:
        visitor.open(link)
        assert _noted(page) == int(re.findall(r"[\d,]+", text)[0].replace(",", "")), link


def test_bad_occurrences_open_as_many(visit: Visit, site: Any) -> None:
    visitor = visit()
    page = visitor.open(_path(site, "/transactions/checkout"))
    bad = page.get_by_role("link", name=re.compile("bad$"))
    number = int(bad.inner_text().split()[0])
    bad.click()
    visitor.settle()
    assert _noted(page) == number > 0


def test_more_occurrences_are_listed_after_the_first_page(visit: Visit, site: Any) -> None:
    visitor = visit()
    path = "**/transactions/checkout/instances?*"
    visitor.page.route(
        path, lambda route: route.continue_(url=route.request.url.replace("limit=200", "limit=20"))
    )
    page = visitor.open(_path(site, "/transactions/checkout?tab=occurrences"))
    assert _noted(page) == 20
    while page.get_by_role("button", name="More", exact=True).count():
        page.get_by_role("button", name="More", exact=True).click()
        visitor.settle()
    listed = httpx.get(f"{site.url}/api/v1/transactions/checkout", params=_window(site)).json()
    assert _noted(page) == listed["transaction"]["count"] > 20


def test_a_cell_of_the_heatmap_opens_the_occurrences_that_it_counts(
    visit: Visit, site: Any
) -> None:
    visitor = visit()
    page = visitor.open(_path(site, "/transactions/checkout"))
    path = f"{site.url}/api/v1/transactions/checkout/heatmap"
    heatmap = httpx.get(path, params=_window(site)).json()
    counts = heatmap["counts"]
    count, column, row = max(
        (count, column, row)
        for column, cells in enumerate(counts)
        for row, count in enumerate(cells)
    )
    box = page.locator(".heatmap .u-over").bounding_box()
    starts = [datetime.datetime.fromisoformat(heatmap[name][:19]) for name in ("start", "end")]
    length = (starts[1] - starts[0]).total_seconds()
    middle = datetime.datetime.fromisoformat(heatmap["times"][column][:19]) - starts[0]
    across = (middle.total_seconds() + heatmap["step_seconds"] / 2) / length
    up = (row + 0.5) / len(counts[0])
    page.mouse.click(box["x"] + across * box["width"], box["y"] + (1 - up) * box["height"])
    panel = page.get_by_role("region", name="What differs there")
    traces = panel.locator("h3 a")
    assert int(traces.inner_text().split()[0]) == count
    traces.click()
    visitor.settle()
    assert _noted(page) == count


@pytest.mark.parametrize("path", WITH_PANELS)
def test_the_sql_of_every_panel_runs_on_the_clickhouse_port(
    visit: Visit, site: Any, path: str
) -> None:
    visitor = visit()
    page = visitor.open(_path(site, path, whole=HOUR))  # KPIs know whole hours only
    buttons = page.locator("[data-sql]")
    assert buttons.count() >= 1
    for number in range(buttons.count()):
        buttons.nth(number).click()
        dialog = page.get_by_role("dialog")
        dialog.locator("pre").first.wait_for()
        statements = dialog.locator("pre").all_inner_texts()
        rows = 0
        for statement in statements:
            answer = httpx.post(
                site.clickhouse,
                params={"default_format": "JSONEachRow"},
                content=statement.encode(),
            )
            assert answer.status_code == 200, answer.text
            rows += len(answer.text.splitlines())
        assert rows > 0
        page.keyboard.press("Escape")


@pytest.mark.parametrize("path", ADDRESSES)
def test_no_page_asks_for_much(visit: Visit, site: Any, path: str) -> None:
    visitor = visit()
    at_once = most = 0

    def began(request: Any) -> None:
        nonlocal at_once, most
        if "/api/" in request.url:
            at_once += 1
            most = max(most, at_once)

    def ended(request: Any) -> None:
        nonlocal at_once
        if "/api/" in request.url:
            at_once -= 1

    visitor.page.on("request", began)
    visitor.page.on("requestfinished", ended)
    visitor.page.on("requestfailed", ended)
    visitor.open(_path(site, path))
    asked = [url for url in visitor.requests if "/api/" in url]
    assert len(asked) <= 15
    assert most <= 6


def test_leaving_a_page_ends_its_requests(visit: Visit, site: Any) -> None:
    visitor = visit()
    failed: list[str] = []
    visitor.page.on("requestfailed", lambda request: failed.append(request.url))
    visitor.page.route("**/api/v1/transactions/checkout/heatmap*", lambda route: None)
    visitor.page.goto(visitor.url + _path(site, "/transactions/checkout"))
    visitor.page.get_by_role("heading", name="Checkout").wait_for()
    visitor.page.get_by_role("link", name="Traces", exact=True).click()
    visitor.page.get_by_role("table", name="Traces").wait_for()
    assert [url for url in failed if "/heatmap" in url]
    visitor.page.unroute_all(behavior="ignoreErrors")


def test_live_asks_again_in_a_visible_tab_alone(visit: Visit) -> None:
    visitor = visit()
    visitor.page.clock.install()
    page = visitor.open("/?live=true")
    lists = lambda: len([url for url in visitor.requests if "/api/v1/transactions?" in url])  # noqa: E731
    before = lists()
    with page.expect_request("**/api/v1/transactions?*"):
        page.clock.run_for(6000)
    assert lists() > before
    page.evaluate(
        """() => {
            Object.defineProperty(document, "visibilityState", {value: "hidden"})
            document.dispatchEvent(new Event("visibilitychange"))
        }"""
    )
    visitor.settle()
    hidden = lists()
    page.clock.run_for(60_000)
    visitor.settle()
    assert lists() <= hidden + 1
