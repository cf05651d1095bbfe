"""Rows of the table: a figure, and what it must reach."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Row:
    """One figure. `bar` is the least value, or the largest where `is_most`. `cases`: how many
    series, windows or files the figure rests on. `detail`: figures beside it, not judged."""

    what: str
    figure: float
    bar: float
    is_most: bool
    cases: int
    detail: dict[str, float]

    @property
    def is_met(self) -> bool:
        """Whether the figure reaches the bar. nan does not."""
        return self.figure <= self.bar if self.is_most else self.figure >= self.bar

    def as_json(self) -> dict[str, Any]:
        """As JSON, in which a figure that is not finite is null."""
        figure = self.figure if math.isfinite(self.figure) else None
        return {**asdict(self), "figure": figure, "met": self.is_met}


def least(what: str, figure: float, bar: float, cases: int, **detail: float) -> Row:
    """A figure that must be at least the bar."""
    return Row(what, float(figure), bar, False, int(cases), detail)


def most(what: str, figure: float, bar: float, cases: int, **detail: float) -> Row:
    """A figure that must be at most the bar."""
    return Row(what, float(figure), bar, True, int(cases), detail)


def show(rows: list[Row]) -> None:
    """A line for each row."""
    for row in rows:
        sign = "<=" if row.is_most else ">="
        verdict = "met" if row.is_met else "NOT MET"
        detail = ", ".join(f"{name} {value:.4g}" for name, value in row.detail.items())
        print(
            f"{row.what:62} {row.figure:9.4g} {sign} {row.bar:<6g} {verdict:8} "
            f"n={row.cases} {detail}",
            flush=True,
        )
