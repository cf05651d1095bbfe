"""The pages for everybody: axe finds nothing serious, and colours have contrast."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.ui_pages import PAGES

Visit = Callable[..., Any]
UI = Path(__file__).resolve().parents[2] / "services/ui"
AXE = UI / "node_modules/axe-core/axe.min.js"


@pytest.mark.slow
@pytest.mark.skipif(not AXE.exists(), reason="needs axe-core: make ui installs it")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(visit: Visit, site: Any, scheme: str) -> None:
    visitor = visit(color_scheme=scheme, bypass_csp=True)
    serious = set()
    for path in (address for page in PAGES for address in page.addresses):
        page = visitor.open(path.format(trace=site.seeded.trace, transaction="checkout"))
        if path == "/traces/{trace}":
            page.locator(".line").nth(1).click()
            visitor.settle()
        assert page.title() == f"{page.locator('main h1').inner_text()} · clew", path
        page.evaluate(AXE.read_text())
        results = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        serious |= {
            f"{path}: {finding['id']}: {node['html'][:200]} {node['failureSummary'][:300]}"
            for finding in results["violations"]
            if finding["impact"] in ("serious", "critical")
            for node in finding["nodes"]
        }
    assert not serious, "\n".join(sorted(serious))


TOKEN = re.compile(r"--([\w-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\);")
READ = ("text", "muted", "link", "error", "warn", "ok")
GROUNDS = ("surface", "sunken", "raised", "hover", "selected")


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _contrast(one: str, other: str) -> float:
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_colours_have_contrast(theme: int) -> None:
    tokens = {
        name: (light, dark)[theme]
        for name, light, dark in TOKEN.findall((UI / "src/styles/tokens.css").read_text())
    }
    low = {
        (text, ground): round(_contrast(tokens[text], tokens[ground]), 2)
        for text in READ
        for ground in GROUNDS
        if _contrast(tokens[text], tokens[ground]) < 4.5
    }
    assert not low
    assert _contrast(tokens["border"], tokens["surface"]) >= 3
    services = [tokens[f"service-{rank}"] for rank in range(1, 9)]
    assert min(_contrast(colour, tokens["surface"]) for colour in services) >= 2.9


FOCUSED = """(() => {
    const element = document.activeElement
    const isNamedByText = element.matches("a, button, summary, [role=tab], [role=option]")
    return element.getAttribute("aria-label") ?? (isNamedByText ? element.textContent : "")
})()"""


def _reach(page: Any, name: str, *, steps: int = 120) -> None:
    """Moves the focus by Tab until it stands on what has this name."""
    for _ in range(steps):
        page.keyboard.press("Tab")
        if name in page.evaluate(FOCUSED):
            return
    pytest.fail(f"Tab does not lead to {name!r}")


@pytest.mark.slow
def test_the_list_and_the_bar_by_keyboard(visit: Visit) -> None:
    visitor = visit()
    page = visitor.open("/")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.keyboard.press("/")
    page.keyboard.type("Check")
    page.wait_for_url("**q=Check*")
    _reach(page, "p95")
    page.keyboard.press("Enter")
    page.wait_for_url("**sort=p95*")
    page.reload()
    visitor.settle()
    _reach(page, "Environment")
    page.keyboard.press("Enter")
    page.get_by_role("option", name="prod").wait_for()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_url("**env=prod*")
    _reach(page, "Time range")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="last 6 hours").wait_for()
    _reach(page, "last 6 hours")
    page.keyboard.press("Enter")
    page.wait_for_url("**start=-6h*")
    page.keyboard.press("l")
    page.wait_for_url("**live=true*")
    page.keyboard.press("l")
    _reach(page, "Theme")
    page.keyboard.press("Enter")
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    page.keyboard.press("s")
    page.get_by_role("dialog", name="SQL of Transactions").get_by_text("SELECT").first.wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("dialog").wait_for(state="hidden")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url("**/transactions/*")


@pytest.mark.slow
def test_a_transaction_by_keyboard(visit: Visit) -> None:
    visitor = visit()
    page = visitor.open("/transactions/checkout")
    _reach(page, "Durations over time")
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Shift+ArrowUp")
    page.keyboard.press("Enter")
    page.wait_for_url("**brush=*")
    page.get_by_role("region", name="What differs there").wait_for()
    _reach(page, "Instances and errors")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Enter")
    page.wait_for_url("**start=*")
    visitor.settle()
    _reach(page, "Breakdown")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.wait_for_url("**tab=why*")
    for _ in ("Calls", "Occurrences"):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.wait_for_url("**tab=occurrences*")


@pytest.mark.slow
def test_a_trace_by_keyboard(visit: Visit, site: Any) -> None:
    visitor = visit()
    page = visitor.open(f"/traces/{site.seeded.deep}")
    _reach(page, "The whole trace")
    page.keyboard.press("]")
    page.wait_for_url("**from=*")
    page.keyboard.press("[")
    page.wait_for_url(lambda url: "from=" not in url)
    page.keyboard.press("c")
    page.wait_for_url("**critical=true*")
    page.keyboard.press("c")
    page.wait_for_url(lambda url: "critical=" not in url)
    page.get_by_role("treegrid").focus()
    page.keyboard.press("e")
    page.locator(".line.active").get_by_text("SELECT stock").wait_for()
    page.keyboard.press("Enter")
    page.wait_for_url("**span=*")
    page.get_by_role("complementary", name="Span").get_by_text("SELECT stock").first.wait_for()
    _reach(page, "Attributes")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.wait_for_url("**part=*")
    page.get_by_role("separator").press("ArrowLeft")
    _reach(page, "Close the span")
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: "span=" not in url)
    page.get_by_role("treegrid").press("Home")
    page.keyboard.press("ArrowLeft")
    page.wait_for_url("**closed=*")
    page.keyboard.press("ArrowRight")
    page.wait_for_url(lambda url: "closed=" not in url)
    _reach(page, "Flame graph")
    page.keyboard.press("Enter")
    page.wait_for_url("**view=flame*")
    _reach(page, "POST /stock")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Up").wait_for()


def _focused(page: Any) -> str:
    return str(page.evaluate("document.activeElement.outerHTML.slice(0, 200)"))


@pytest.mark.slow
def test_focus_returns_to_where_it_was(visit: Visit, site: Any) -> None:
    visitor = visit()
    page = visitor.open("/")
    page.keyboard.press("j")
    row = _focused(page)
    assert "data-row" in row
    for key in ("s", "?", "Control+k"):
        page.keyboard.press(key)
        page.get_by_role("dialog").wait_for()
        page.keyboard.press("Escape")
        page.get_by_role("dialog").wait_for(state="hidden")
        visitor.settle()
        assert _focused(page) == row, key
    time = page.get_by_role("button", name=re.compile("Time range"))
    time.press("Enter")
    page.get_by_role("button", name="last 6 hours").wait_for()
    page.keyboard.press("Escape")
    visitor.settle()
    assert "Time range" in _focused(page)
    window = "2020-01-01T00:00:00Z~2100-01-01T00:00:00Z~~"
    page = visitor.open(f"/transactions/checkout?brush={window}")
    panel = page.get_by_role("region", name="What differs there")
    panel.get_by_role("button", name="Close").press("Enter")
    assert "heatmap" in _focused(page)
    page = visitor.open(f"/traces/{site.seeded.deep}")
    page.get_by_role("treegrid").press("Enter")
    page.get_by_role("complementary", name="Span").get_by_role("tab").first.press("Escape")
    page.get_by_role("complementary", name="Span").wait_for(state="detached")
    assert "waterfall" in _focused(page)


# A letter is typed at the moment when what was typed before goes into the URL.
TYPE_WHILE_THE_URL_CHANGES = """letters => {
    const field = document.activeElement
    const setValue = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value").set
    const replace = history.replaceState.bind(history)
    history.replaceState = (...change) => {
        replace(...change)
        const letter = letters.shift()
        if (!letter) return
        setValue.call(field, field.value + letter)
        field.dispatchEvent(new Event("input", { bubbles: true }))
    }
}"""


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/", "/traces/DEEP"])
def test_no_letter_is_lost_while_one_types(visit: Visit, site: Any, path: str) -> None:
    visitor = visit()
    page = visitor.open(path.replace("DEEP", site.seeded.deep))
    field = page.get_by_role("searchbox").first
    page.keyboard.press("/")
    page.evaluate(TYPE_WHILE_THE_URL_CHANGES, ["o", "c", "k"])
    page.keyboard.type("st")
    page.wait_for_url("**q=stock*")
    visitor.settle()
    assert field.input_value() == "stock"
    field.fill("")  # matches everything again: until then nothing matched on the list
    page.keyboard.type("GET")
    page.wait_for_url("**q=GET*")
    assert field.input_value() == "GET"
    page.go_back()
    page.go_forward()
    visitor.settle()
    assert field.input_value() == "GET"


PRESS = "key => document.body.dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true}))"


@pytest.mark.slow
@pytest.mark.parametrize(("key", "name"), [("l", "Live"), ("c", "Critical path")])
def test_a_key_that_switches_acts_once(visit: Visit, site: Any, key: str, name: str) -> None:
    page = visit().open(f"/traces/{site.seeded.deep}")

    def switched(on: bool) -> None:
        page.get_by_role("button", name=name, exact=True, pressed=on).wait_for()

    page.keyboard.down(key)
    page.keyboard.down(key)  # held: the keyboard repeats it
    page.keyboard.up(key)
    switched(True)
    # Twice before the page is drawn: off and on again.
    page.evaluate(f"key => {{ ({PRESS})(key); ({PRESS})(key) }}", key)
    page.evaluate("() => new Promise(drawn => requestAnimationFrame(() => setTimeout(drawn)))")
    switched(True)
    page.keyboard.press(key)
    switched(False)


@pytest.mark.slow
def test_nothing_moves_where_motion_is_not_wanted(visit: Visit) -> None:
    visitor = visit(reduced_motion="reduce")
    visitor.page.route("**/api/v1/transactions?*", lambda route: None)
    visitor.page.goto(f"{visitor.url}/?live=true")
    visitor.page.locator(".loading .bone").first.wait_for()
    moving = """[...document.querySelectorAll('*')].filter(element => {
        const style = getComputedStyle(element)
        return style.animationName !== 'none' || style.transitionDuration.split(', ').some(time => parseFloat(time) > 0)
    }).map(element => element.className)"""
    assert visitor.page.evaluate(moving) == []
    visitor.page.unroute_all(behavior="ignoreErrors")
