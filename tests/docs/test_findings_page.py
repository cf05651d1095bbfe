"""docs/findings.md says what the rules say."""

from __future__ import annotations

from write_findings import PAGE, page


def test_the_page_has_every_rule_as_it_is() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python docs/write_findings.py"
