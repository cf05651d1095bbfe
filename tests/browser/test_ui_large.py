"""A trace of 100,000 spans: what it costs the page, in CPU and memory, not in time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from clew.storage import Ingest, Store
from conftest import Visitor, serving
from support.traffic import (
    INTERNAL,
    MICROSECOND,
    MILLISECOND,
    SECOND,
    SERVER,
    Loader,
    Process,
    Span,
)

pytestmark = pytest.mark.slow

SPANS = 100_000
FRAMES = 60
ROWS = 200  # lines of the waterfall in the document
SHAPES = {
    "three levels": lambda number: 0 if number < 1000 else 1 + number % 999,
    "all children of one": lambda number: 0,
    "5,000 deep": lambda number: number - 1 if number < 5000 else number % 5000,
}


@pytest.fixture(params=SHAPES)
def large(request: Any, emptied: Callable[[], Store], tmp_path: Path) -> Iterator[str]:
    """The address of such a trace."""
    store = emptied()
    parent_of = SHAPES[request.param]
    start = (int(time.time()) - 600) * SECOND
    processes = [Process(f"service-{number}", f"instance-{number}") for number in range(6)]
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    spans = [
        Span(
            trace=trace,
            id=f"{number + 1:016x}",
            parent=f"{parent_of(number) + 1:016x}" if number else "",
            process=processes[number % 6],
            name=f"operation {number % 40}" if number else "POST /import",
            kind=INTERNAL if number else SERVER,
            start=start + number * 5 * MICROSECOND,
            end=start + number * 5 * MICROSECOND + (MILLISECOND if number else SECOND),
        )
        for number in range(SPANS)
    ]
    loader = Loader(Ingest(store), tmp_path)
    for first in range(0, SPANS, 20_000):
        loader.spans(spans[first : first + 20_000])
    with serving(store) as (url, _):
        yield f"{url}/traces/{trace}"


def _metrics(session: Any) -> dict[str, float]:
    return {
        item["name"]: item["value"] for item in session.send("Performance.getMetrics")["metrics"]
    }


def test_a_large_trace_is_light(chromium: Any, large: str, record_property: Any) -> None:
    url, _, path = large.partition("/traces/")
    visitor = Visitor(chromium, url)
    page = visitor.page
    session = visitor.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    page.goto(f"{url}/traces/{path}")
    page.locator(".line").first.wait_for()
    first_paint = _metrics(session)["TaskDuration"]
    page.locator(".critical").first.wait_for()
    session.send("HeapProfiler.collectGarbage")
    heap = _metrics(session)["JSHeapUsedSize"]
    assert page.locator(".line").count() <= ROWS
    before = _metrics(session)["TaskDuration"]
    page.evaluate(
        """async frames => {
            const list = document.querySelector(".waterfall")
            for (let frame = 0; frame < frames; frame++) {
                list.scrollTop += 120
                await new Promise(requestAnimationFrame)
            }
        }""",
        FRAMES,
    )
    frame = (_metrics(session)["TaskDuration"] - before) / FRAMES
    assert page.locator(".line").count() <= ROWS
    before = _metrics(session)["TaskDuration"]
    page.get_by_role("button", name="Fold", exact=True).click()
    visitor.settle()
    fold = _metrics(session)["TaskDuration"] - before
    before = _metrics(session)["TaskDuration"]
    page.get_by_label("Find in the trace").fill("operation 7")
    page.locator(".find [role=status]").get_by_text("2,5").wait_for()
    search = _metrics(session)["TaskDuration"] - before
    figures = {
        "first paint, ms": first_paint * 1000,
        "heap, MB": heap / 1e6,
        "frame, ms": frame * 1000,
        "fold, ms": fold * 1000,
        "search, ms": search * 1000,
    }
    print({name: round(value, 1) for name, value in figures.items()})
    visitor.close()
    assert visitor.complaints == []
    assert heap <= 40e6
