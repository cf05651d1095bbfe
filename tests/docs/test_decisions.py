"""The index of decisions lists every decision once, as its file names it."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

DECISIONS = Path(__file__).parents[2] / "docs" / "adr"
INDEX = (DECISIONS / "README.md").read_text()
ROW = re.compile(r"^\| \[(\d{4})\]\((.+?)\) \| (.+?) \| (.+?) \| (.+?) \|$", re.MULTILINE)
ROWS = ROW.findall(INDEX)
STATUS = re.compile(r"proposed|accepted|superseded by \d{4}")


def test_the_index_has_a_row_for_every_file() -> None:
    files = sorted(path.name for path in DECISIONS.glob("[0-9]*.md"))
    assert [file for _, file, *_ in ROWS] == files


def test_a_row_has_the_number_and_title_of_its_file() -> None:
    for number, file, title, _, _ in ROWS:
        heading = (DECISIONS / file).read_text().partition("\n")[0]
        assert heading == f"# {number}: {title}"
        assert file.startswith(f"{number}-")


def test_a_row_has_a_status_and_a_date() -> None:
    for number, _, _, status, day in ROWS:
        assert STATUS.fullmatch(status), number
        assert date.fromisoformat(day), number


def test_a_missing_number_is_explained() -> None:
    numbers = [int(number) for number, *_ in ROWS]
    for missing in set(range(1, max(numbers))) - set(numbers):
        assert f"**{missing:04} was never used.**" in INDEX
