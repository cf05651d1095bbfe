"""`clew findings` in a terminal."""

from __future__ import annotations

from typing import Any, cast

import pytest

from clew.cli import findings
from clew.cli.settings import UsageError

FINDING = {
    "id": "0123456789abcdef", "title": "N+1 queries", "service": "stock", "operation": "GET /\x1b[31mstock",
    "advice": "GET /stock runs “SELECT” 12 times. " * 6, "saved_ms": 41.7, "per_day_s": 7200.0, "p95_share": 0.31,
    "value": 12_345.6, "transactions": [{"name": f"shop: GET /{n}"} for n in range(5)], "place": "list (app.py:4)",
    "state": "ignored", "reason": "a report", "traces": ["ab" * 16],
}  # fmt: skip


class Api:
    """A client that answers with one finding, and keeps what was asked."""

    def __init__(self, *documents: dict[str, Any]) -> None:
        self.documents = list(documents)
        self.requests: list[tuple[Any, ...]] = []

    def send(self, method: str, path: str, body: Any = None, **parameters: Any) -> dict[str, Any]:
        self.requests.append((method, path, body, parameters))
        return self.documents.pop(0)


def test_a_finding_is_readable(capsys: pytest.CaptureFixture[str]) -> None:
    failed = {"rule": "retries", "error": "ValueError: no", "since": "2026-01-01T00:00:00Z"}
    found = {"findings": [FINDING], "failed_rules": [failed]}
    api = Api(found, found, {"findings": [], "failed_rules": []})
    for _ in range(3):
        assert findings.show(cast(Any, api), {"service": "stock", "rule": None}, as_document=len(api.documents) == 2) == 0  # fmt: skip
    text = capsys.readouterr().out
    assert '"id": "0123456789abcdef"' in text
    assert "\x1b" not in text
    words = " ".join(text.split())
    assert "saves 41.7 ms a trace, 2 h a day, 31% of the p95, traces worth 12,346 a day" in words
    assert "shop: GET /2 and 2 more" in words
    assert "the rule retries did not run: ValueError: no" in words
    assert "0123456789abcdef · ignored (a report)" in words
    assert max(map(len, text.partition("{")[0].splitlines())) <= 80
    assert text.endswith("nothing is slow every day that a rule knows of\n")
    assert api.requests[0] == ("GET", "findings", None, {"limit": 1000, "service": "stock"})


def test_a_state_is_changed(capsys: pytest.CaptureFixture[str]) -> None:
    api = Api({"id": "x/y", "state": "ignored"})
    assert findings.change_state(cast(Any, api), "x/y", "ignored", "why") == 0
    assert api.requests == [
        ("POST", "findings/x%2Fy/state", {"state": "ignored", "reason": "why"}, {})
    ]
    assert capsys.readouterr().out == "x/y: ignored\n"
    with pytest.raises(UsageError, match="name the finding"):
        findings.change_state(cast(Any, api), "x", "", "")
