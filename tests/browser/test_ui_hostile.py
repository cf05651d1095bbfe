"""Text of others: no script runs, nothing is refused by the policy, nothing moves the page."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from clew.analysis.alerts.states import State
from clew.analysis.traces.settling import Settling
from clew.storage import Ingest, Store
from clew.storage.statements import Statements
from conftest import PHONE, Visitor, serving
from support import problems
from support.loading import settle
from support.traffic import SECOND, SERVER, Loader, Log, Process, Span, exception
from support.ui_pages import PAGES

pytestmark = pytest.mark.slow

TEXTS = (
    '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>',
    "javascript:window.hacked=1",
    "'\"></title><svg onload=window.hacked=1>",
    "\u202eright to left\u2066 \u200fwith marks",
    "z" + "\u0301\u0323\u0489" * 200,
    "nul \x00 bell \x07 escape \x1b[31m",
    "wide" * 20_000,
    "no-break" + "\u00a0" * 500 + "end",
)
TRACE = "0af7651916cd43dd8448eb211c80319c"


ALERTS = [
    problems.alert(
        text[:100],
        {"service": text[:500], "operation": text[:2000], text[:100]: text},
        State.FIRING,
        time.time() - 60,
        text,
        value=1e300,
        facts={text[:100]: text},
        examples=(text[:100], TRACE),
        sql=text,
    )
    for text in TEXTS
]


@pytest.fixture
def hostile(emptied: Callable[[], Store], tmp_path: Path) -> Iterator[str]:
    """The URL of an API over such texts, in every place that a page shows."""
    store = emptied()
    loader = Loader(Ingest(store), tmp_path)
    now = (int(time.time()) - 60) * SECOND
    many = {
        f"{TEXTS[at % len(TEXTS)][:40]}{at}": TEXTS[at % len(TEXTS)][:200] for at in range(10_000)
    }
    spans = []
    for number, text in enumerate(TEXTS):
        process = Process(
            text[:500], f"instance {text[:50]}", environment=text[:60], version=text[:80]
        )
        spans.append(
            Span(
                trace=TRACE,
                id=f"{number + 1:016x}",
                parent="" if number == 0 else f"{1:016x}",
                name=text[:2000],
                kind=SERVER,
                start=now + number,
                end=now + number + SECOND,
                process=process,
                attributes=many if number == 0 else {"big": "x" * 1_000_000, text[:100]: text},
                status=2,
            )
        )
    loader.spans(spans)
    loader.logs(
        Log(
            span.start,
            span.process,
            "ERROR",
            text,
            exception(text[:100], text[:1000]),
            TRACE,
            span.id,
        )
        for span, text in zip(spans, TEXTS, strict=True)
    )
    settle(Settling(store))
    problems.put(Statements(store), ALERTS)
    with serving(store) as (url, _):
        yield url


@pytest.mark.parametrize("viewport", [None, PHONE], ids=["desktop", "phone"])
def test_hostile_text_is_only_text(chromium: Any, hostile: str, viewport: Any) -> None:
    visitor = Visitor(chromium, hostile, **({"viewport": viewport} if viewport else {}))
    page = visitor.open("/")
    links = page.locator("main a[href*='/transactions/']").evaluate_all(
        "links => links.map(link => link.getAttribute('href'))"
    )
    transactions = sorted({link.partition("?")[0] for link in links})
    assert transactions
    ids = [transaction.removeprefix("/transactions/") for transaction in transactions[:2]]
    paths = {
        address.format(trace=TRACE, transaction=id)
        for page in PAGES
        for address in page.addresses
        for id in ids
    }
    paths |= {f"/problems/{alert.id}" for alert in ALERTS}
    for path in sorted(paths):
        visitor.open(path)
        assert page.evaluate("window.hacked") is None
        widths = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert widths[0] <= widths[1], path
    visitor.open(f"/traces/{TRACE}")
    for line in range(3):
        page.locator(".line").nth(line).click()
        page.get_by_role("complementary", name="Span").get_by_role("tab").first.wait_for()
    assert page.locator("dl.attributes > div").count() <= 200
    assert page.evaluate("window.hacked") is None
    visitor.close()
    assert visitor.complaints == []
