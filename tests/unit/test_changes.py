"""Which tables change together, and how long answers are kept."""

from __future__ import annotations

import re

import pytest

from clew.storage import changes
from clew.storage.changes import UNSTEADY, Changes, StatementCache, group_of
from clew.storage.migrations import FUNCTION, VIEW, known_migrations

SQL = "SELECT count() FROM otel.clew_roots"


def test_a_view_fills_only_tables_that_change_with_its_source() -> None:
    views = [each.sql for each in known_migrations() if each.kind == VIEW and "CREATE" in each.sql]
    assert len(views) > 10
    for sql in views:
        names = re.findall(r"(?:VIEW IF NOT EXISTS|TO|FROM|JOIN) otel\.(\w+)", sql)
        names = [name for name in names if not name.endswith("_view")]
        assert len({group_of(name) for name in names}) == 1, names


def test_an_answer_that_depends_on_the_time_is_not_kept() -> None:
    functions = [each.sql for each in known_migrations() if each.kind == FUNCTION]
    unsteady = [sql for sql in functions if re.search(r"\bnow\w*\(|\btoday\(", sql)]
    assert unsteady
    for sql in unsteady:
        (name,) = re.findall(r"CREATE OR REPLACE FUNCTION (\w+)", sql)
        assert UNSTEADY.search(f"SELECT {name}(1)"), name
    cache = StatementCache(Changes())
    assert cache.version("SELECT now64(3) FROM otel.otel_logs") is None
    assert cache.version("SELECT count() FROM system.parts") is None
    assert cache.version("SELECT startsWith(MetricName, 'system.') FROM otel.otel_logs") is not None


@pytest.mark.parametrize("table", ["otel_traces", "clew_landing_traces", "clew_traces"])
def test_an_answer_is_kept_until_a_table_of_its_statement_changes(table: str) -> None:
    tables = Changes()
    cache = StatementCache(tables)
    version = cache.version(SQL)
    assert version is not None
    cache.put("key", version, b"1", 1)
    tables.add("otel_logs", "otel_metrics_sum", "clew_settled", "clew_ledger")
    assert cache.version(SQL) == version
    assert cache.get("key", version) == b"1"
    assert cache.get("other", version) is None
    tables.add(table)
    later = cache.version(SQL)
    assert later is not None
    assert cache.get("key", later) is None


def test_after_a_change_of_all_tables_no_answer_is_kept() -> None:
    tables = Changes()
    before = tables.version("SELECT 1 FROM otel.clew_ledger")
    tables.add()
    assert tables.version("SELECT 1 FROM otel.clew_ledger") != before


def test_answers_are_kept_for_a_while_up_to_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "MAX_SIZE", 100)
    monkeypatch.setattr(changes, "MAX_ENTRY", 50)
    cache = StatementCache(Changes())
    cache.put("large", (1,), b"", 60)
    assert cache.get("large", (1,)) is None
    for key in "abc":
        cache.put(key, (1,), b"x", 40)
    assert [cache.get(key, (1,)) is None for key in "abc"] == [True, False, False]
    monkeypatch.setattr(changes, "MAX_AGE", 0.0)
    assert cache.get("c", (1,)) is None
