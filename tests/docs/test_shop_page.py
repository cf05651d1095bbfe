"""docs/shop.md lists every fault of the shop with its truth."""

from __future__ import annotations

import re
from pathlib import Path

from clew.shop.faults import KNOWN

PAGE = (Path(__file__).parents[2] / "docs" / "shop.md").read_text(encoding="utf-8")


def test_every_fault_is_listed() -> None:
    rows = [row.strip("| ").split(" | ") for row in re.findall(r"^\| `.+$", PAGE, re.MULTILINE)]
    assert [row[0].strip("`") for row in rows] == list(KNOWN)
    for (_, text, usual, where, kind), known in zip(rows, KNOWN.values(), strict=True):
        truth = known.truth
        assert text.removesuffix(" (large)") == known.text
        assert [float(number) for number in usual.split(":")] == [
            number for number in known.usual if number
        ]
        assert where.replace("`", "") == f"{truth.service} {truth.operation}".strip()
        named = " ".join(part for part in (truth.kind, truth.subject) if part)
        assert kind == named + (f", `{truth.rule}`" if truth.rule else "")
