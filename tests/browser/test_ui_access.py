"""The pages for everybody: axe finds nothing serious, and colours have contrast."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Visit = Callable[..., Any]
UI = Path(__file__).resolve().parents[2] / "services/ui"
AXE = UI / "node_modules/axe-core/axe.min.js"
PAGES = (
    *("/", "/transactions/checkout", "/transactions/checkout?tab=occurrences"),
    *("/transactions/checkout?tab=funnel", "/transactions/checkout?tab=logs"),
    *("/transactions/checkout?tab=metrics", "/traces", "/traces/TRACE", "/traces/TRACE?view=flame"),
    *("/start", "/login"),
)


@pytest.mark.slow
@pytest.mark.skipif(not AXE.exists(), reason="needs axe-core: make ui installs it")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(visit: Visit, site: Any, scheme: str) -> None:
    visitor = visit(color_scheme=scheme, bypass_csp=True)
    serious = set()
    for path in PAGES:
        page = visitor.open(path.replace("TRACE", site.seeded.trace))
        if path == "/traces/TRACE":
            page.locator(".line").nth(1).click()
            visitor.settle()
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
