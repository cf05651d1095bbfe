"""What checks say, and how it is printed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

Status = Literal["ok", "warn", "fail", "none"]

_LABELS: dict[Status, str] = {"ok": "ok", "warn": "WARN", "fail": "FAIL", "none": "-"}
_WIDTH = 16


class Verdict(NamedTuple):
    """`none`: there was nothing to check. `mend`: what to do; a check that is ok has none."""

    status: Status
    text: str
    mend: str = ""


class Line(NamedTuple):
    """The verdict of a check."""

    check: str
    verdict: Verdict


def exit_status(lines: Iterable[Line]) -> int:
    """1 if something is wrong, else 0."""
    return int(any(line.verdict.status in ("warn", "fail") for line in lines))


def as_text(lines: Sequence[Line]) -> str:
    """A line for each check, with the mend in a line below it."""
    rows = []
    for check, verdict in lines:
        rows.append(f"{_LABELS[verdict.status]:5} {check:{_WIDTH}} {verdict.text}")
        if verdict.mend:
            rows.append(f"{'':{_WIDTH + 6}} mend: {verdict.mend}")
    wrong = sum(line.verdict.status in ("warn", "fail") for line in lines)
    rows.append(f"\n{wrong} of {len(lines)} checks found something" if wrong else "\nnothing wrong")
    return "\n".join(rows)


def as_json(lines: Sequence[Line]) -> str:
    """{"ok", "checks": [{"check", "status", "text", "mend"}]}."""
    checks = [{"check": check, **verdict._asdict()} for check, verdict in lines]
    return json.dumps({"ok": not exit_status(lines), "checks": checks}, indent=2)
