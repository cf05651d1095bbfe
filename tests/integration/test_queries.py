"""The generated types of rows match the columns that the engine reports."""

from __future__ import annotations

import pytest
import write_queries

from clew.storage import Store
from clew.storage.sql import ANALYSIS, STORAGE


@pytest.mark.parametrize("package", [STORAGE, ANALYSIS])
def test_the_types_of_rows_are_current(engine: Store, package: str) -> None:
    written = write_queries.path(package).read_text(encoding="utf-8")
    assert written == write_queries.page(engine, package), "run: python docs/write_queries.py"
