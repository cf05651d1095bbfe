"""`clew findings`: what is slow every day, readable in a terminal."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from clew.analysis.texts import number_text
from clew.cli.client import Client
from clew.cli.diagnose import wrapped
from clew.cli.settings import UsageError

LIMIT = 1000
INDENT = " " * 4
DAY_UNITS = ((3600.0, "h"), (60.0, "min"), (1.0, "s"))
FILTERS = ("service", "transaction", "rule", "state")


def show(client: Client, filters: Mapping[str, str | None], *, as_document: bool) -> int:
    """Print the findings, the most expensive first. Raises UsageError."""
    chosen = {name: text for name, text in filters.items() if text}
    document = client.send("GET", "findings", None, limit=LIMIT, **chosen)
    if as_document:
        print(json.dumps(document, indent=2))
    else:
        print("\n".join([*_lines(document["findings"]), *_failed(document["failed_rules"])]))
    return 0


def change_state(client: Client, finding: str, state: str, reason: str) -> int:
    """Say what became of a finding. Raises UsageError."""
    if not finding or not state:
        raise UsageError(
            "findings state: name the finding and its state, such as 0123abcd… ignored"
        )
    body = {"state": state, "reason": reason}
    changed = client.send("POST", f"findings/{quote(finding, safe='')}/state", body)
    print(f"{changed['id']}: {changed['state']}")
    return 0


def _lines(findings: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if not findings:
        yield "nothing is slow every day that a rule knows of"
        return
    for number, finding in enumerate(findings):
        if number:
            yield ""
        yield from _finding_lines(finding)


def _failed(rules: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for rule in rules:
        yield from wrapped(INDENT, f"the rule {rule['rule']} did not run: {rule['error']}")


def _finding_lines(finding: Mapping[str, Any]) -> Iterator[str]:
    yield from wrapped(
        "", f"{finding['title']}: {finding['service']} {finding['operation']}".strip()
    )
    yield from wrapped(INDENT, finding["advice"])
    cost = [
        f"{number_text(finding['saved_ms'])} ms a trace",
        f"{_time_a_day(finding['per_day_s'])} a day",
        f"{finding['p95_share']:.0%} of the p95",
    ]
    if finding["value"] is not None:
        cost.append(f"traces worth {finding['value']:,.0f} a day")
    saved = f"saves {', '.join(cost)}" if finding["saved_ms"] else "saves no time of its own"
    yield from wrapped(INDENT, saved)
    names = [transaction["name"] for transaction in finding["transactions"]]
    more = f" and {len(names) - 3} more" if names[3:] else ""
    yield from wrapped(INDENT, f"in {', '.join(names[:3])}{more}")
    if finding["place"]:
        yield from wrapped(INDENT, f"at {finding['place']}")
    state = finding["state"] + (f" ({finding['reason']})" if finding["reason"] else "")
    yield from wrapped(INDENT, f"{finding['id']} · {state}")
    yield f"{INDENT}trace {finding['traces'][0]}"


def _time_a_day(seconds: float) -> str:
    """In its largest unit."""
    size, unit = next((unit for unit in DAY_UNITS if seconds >= unit[0]), DAY_UNITS[-1])
    return f"{number_text(seconds / size)} {unit}"
