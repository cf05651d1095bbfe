"""Hints about the text of slow statements."""

from __future__ import annotations

import pytest

from clew.analysis.findings.hints import hints

HINTS = {
    "SELECT * FROM items WHERE id = ?": "all columns",
    "SELECT name FROM items": "neither WHERE nor LIMIT",
    "SELECT name FROM items ORDER BY id LIMIT 5 OFFSET 1000": "OFFSET",
    "SELECT id FROM items WHERE lower(name) = 'x'": "function around a column",
    "SELECT id FROM items WHERE name LIKE '%x'": "begins with %",
}
WITHOUT = (
    "SELECT count(*) FROM items WHERE shop = $1",
    "SELECT name FROM items WHERE id = %s",
    "SELECT name FROM items WHERE id IN (?, ?)",
    "UPDATE items SET stock = 1",
    "SELEC nonsense (((",
    "(" * 1900,
    "",
)


@pytest.mark.parametrize(("statement", "hint"), HINTS.items())
def test_a_statement_has_its_hint(statement: str, hint: str) -> None:
    assert hint in hints(statement)
    assert hints(statement).count(".") == 1


@pytest.mark.parametrize("statement", WITHOUT, ids=lambda statement: statement[:20])
def test_other_statements_and_other_texts_have_none(statement: str) -> None:
    assert hints(statement) == ""
