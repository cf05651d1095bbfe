"""What a diagnosis advises: each kind has a text with what is known filled in."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from clew.analysis.diagnosis.advice import advice
from clew.analysis.diagnosis.causes import CauseKind

EXAMPLE = {"place": "charge (/app/payments.py:48)"}


def cause(kind: str, **members: Any) -> dict[str, Any]:
    changes: dict[str, Any] = {name: {"changes": []} for name in ("time", "structure", "process")}
    lists = ("places", "statements", "versions", "instances", "values")
    known: dict[str, Any] = {
        "kind": kind,
        "service": "payments",
        "operation": "POST /charges",
        "target": "bank",
    }
    known |= {"examples": [EXAMPLE], "evidence": changes}
    return known | {name: [] for name in lists} | members


@pytest.mark.parametrize("kind", get_args(CauseKind))
def test_every_kind_has_a_text(kind: str) -> None:
    text = advice(cause(kind))
    assert text.endswith(".")
    assert "payments" in text or "bank" in text or "charge" in text


@pytest.mark.parametrize(
    ("members", "part"),
    [
        ({"kind": "own", "instances": [{"value": "payments-2"}]}, "Only payments-2 has it"),
        ({"kind": "own"}, "at charge (/app/payments.py:48)"),
        ({"kind": "version", "versions": [{"value": "1.1.0"}]}, "back from 1.1.0"),
        ({"kind": "value", "values": [{"key": "tenant", "value": "globex"}]}, "tenant = globex"),
        ({"kind": "database", "statements": [{"operation": "connect"}]}, "size of the pool"),
        ({"kind": "process", "statements": [{"operation": "connect"}]}, "size of the pool"),
        ({"kind": "database", "statements": [{"operation": "SELECT stock"}]}, "of SELECT stock"),
        (
            {"kind": "code", "places": [{"change": "new", "place": "read (/app/a.py:7)"}]},
            "at read (/app/a.py:7)",
        ),
    ],
)
def test_what_is_known_is_filled_in(members: dict[str, Any], part: str) -> None:
    assert part in advice(cause(**members))


@pytest.mark.parametrize("kind", ["own", "code", "link"])
def test_calls_that_repeat_are_named(kind: str) -> None:
    change = {"operation": "GET", "came": 400.0, "expected": 100.0}
    evidence = cause(kind)["evidence"] | {"structure": {"changes": [change]}}
    assert "GET runs 4.0 times as often" in advice(cause(kind, evidence=evidence))


def test_serial_calls_are_named() -> None:
    changes = [{"type": "calls", "operation": "GET /products"}]
    evidence = cause("code")["evidence"] | {"time": {"changes": changes}}
    assert "one after the other" in advice(cause("code", evidence=evidence))
