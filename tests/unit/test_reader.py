"""The .sql files: which there are, which code uses them, and what they may contain."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import write_queries

from clew.analysis import queries as analysis_queries
from clew.storage import queries as storage_queries
from clew.storage.reader import with_literals
from clew.storage.sql import ANALYSIS, STORAGE, Query

ROOT = Path(__file__).parents[2]
FOLDERS = {STORAGE: ROOT / "storage/clew/storage", ANALYSIS: ROOT / "services/clew/analysis"}
PACKAGES = {
    path: package
    for package, folder in FOLDERS.items()
    for path in sorted((folder / "queries").rglob("*.sql"))
}
QUERIES = list(PACKAGES)
SCHEMA = sorted((FOLDERS[STORAGE] / "schema").glob("*.sql"))
AREAS = ("collector", "storage", "services")
SOURCE = "".join(path.read_text() for area in AREAS for path in (ROOT / area).rglob("*.py"))
TEXTS = {package: write_queries.whole_queries(package) for package in FOLDERS}


def _bare(sql: str) -> str:
    """The statement without comments and without quoted text."""
    return re.sub(r"--[^\n]*|'(?:[^'\\]|\\.)*'|`[^`]*`", "", sql)


def test_every_query_is_used_and_every_file_is_in_one() -> None:
    known = {
        query
        for module in (storage_queries, analysis_queries)
        for query in vars(module).values()
        if isinstance(query, Query)
    }
    whole = {(package, name) for package, texts in TEXTS.items() for name in texts}
    assert {(query.package, query.name) for query in known} == whole
    used = set(re.findall(r"\bqueries\.([A-Z0-9_]+)\b", SOURCE))
    assert used == {query.name.upper() for query in known}
    parts = {path.stem for path, package in PACKAGES.items() if path.stem not in TEXTS[package]}
    included = set(re.findall(r"-- with (\w+)\n", "".join(path.read_text() for path in QUERIES)))
    assert all(name in included or f'"{name}"' in SOURCE for name in parts)


def test_every_file_has_a_name_of_its_own_over_all_folders() -> None:
    names = [path.stem for path in QUERIES]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("path", [*QUERIES, *SCHEMA], ids=lambda path: path.stem)
def test_a_file_is_one_statement_without_format_placeholders(path: Path) -> None:
    bare = _bare(path.read_text())
    assert ";" not in bare
    assert bare.count("(") == bare.count(")")
    for brace in re.findall(r"\{[^}]*\}?", bare):
        assert re.fullmatch(r"\{[a-z_]+:[A-Za-z0-9_(),\s]+\}", brace), brace
    # What % could be: a modulo is written as a function here.
    assert "%" not in bare


@pytest.mark.parametrize(
    ("package", "name"), [(package, name) for package, texts in TEXTS.items() for name in texts]
)
def test_a_query_reads_the_tables_of_its_database_by_their_full_names(
    package: str, name: str
) -> None:
    for text in TEXTS[package][name]:
        _reads_tables_by_their_full_names(_bare(text))


def _reads_tables_by_their_full_names(bare: str) -> None:
    assert re.match(r"\s*(SELECT|WITH)\b", bare)
    for table in re.findall(r"\b(?:FROM|(?<!ARRAY )JOIN)\s+([a-zA-Z_.0-9]+)", bare):
        local = re.search(rf"\b{re.escape(table)} AS\s*\(", bare)
        assert table.startswith("otel.") or table == "system.processes" or local, table
    assert not re.search(r"\b(SETTINGS|FORMAT|INSERT|ALTER|DROP)\b", bare)


@pytest.mark.parametrize("path", [*QUERIES, *SCHEMA], ids=lambda path: path.stem)
def test_a_file_names_its_database_only_in_front_of_a_table(path: Path) -> None:
    """So that the same files make and read a tenant's database, by replacing `otel.` (ADR 0017)."""
    text = re.sub(r"--[^\n]*", "", path.read_text())
    database = re.findall(r"\botel\b(?!\.\w)|\bcurrentDatabase\b", text)
    assert database == (["otel"] if path.stem == "0001_database" else [])
    # Functions belong to no database.
    assert "CREATE OR REPLACE FUNCTION" not in text or "otel." not in text


@pytest.mark.parametrize("path", SCHEMA, ids=lambda path: path.stem)
def test_a_migration_can_be_applied_twice(path: Path) -> None:
    assert re.fullmatch(r"\d{4}_[a-z0-9_]+", path.stem)
    assert re.match(
        r"\s*(CREATE (DATABASE|TABLE|VIEW|MATERIALIZED VIEW) IF NOT EXISTS|CREATE OR REPLACE"
        r"|DROP VIEW IF EXISTS|ALTER TABLE otel\.\w+\s+(ADD (COLUMN|INDEX) IF NOT EXISTS"
        r"|MODIFY COLUMN|MATERIALIZE INDEX)"
        r"|INSERT INTO otel\.\w+\s*\([^)]*\)\s*SELECT)\b",
        _bare(path.read_text()),
    )


def test_no_two_migrations_have_the_same_number() -> None:
    numbers = [path.stem[:4] for path in SCHEMA]
    assert len(numbers) == len(set(numbers))


@pytest.mark.parametrize("area", AREAS)
def test_no_area_has_an_init_of_the_namespace_package(area: str) -> None:
    """With an __init__.py in one of them, an editable install finds that one alone."""
    assert not (ROOT / area / "clew" / "__init__.py").exists()
    assert not (ROOT / area / "__init__.py").exists()


@pytest.mark.parametrize(
    ("value", "kind", "literal"),
    [
        (None, "Nullable(String)", "CAST(NULL, 'Nullable(String)')"),
        (True, "Bool", "CAST(true, 'Bool')"),
        (False, "Nullable(Bool)", "CAST(false, 'Nullable(Bool)')"),
        (7, "UInt64", "CAST(7, 'UInt64')"),
        (-1.5, "Float64", "CAST(-1.5, 'Float64')"),
        ("it's", "String", r"CAST('it\'s', 'String')"),
        ("\\", "String", r"CAST('\\', 'String')"),
        ("\\'", "String", r"CAST('\\\'', 'String')"),
        ("{b:String}", "String", "CAST('{b:String}', 'String')"),
        ([], "Array(String)", "CAST([], 'Array(String)')"),
        (["a", "b'"], "Array(String)", r"CAST(['a', 'b\''], 'Array(String)')"),
        (
            [("a", "b")],
            "Array(Tuple(String, String))",
            "CAST([('a', 'b')], 'Array(Tuple(String, String))')",
        ),
        ("UTC", "DateTime64(9, 'UTC')", r"CAST('UTC', 'DateTime64(9, \'UTC\')')"),
    ],
)
def test_parameters_become_literals_of_the_statement(
    value: object, kind: str, literal: str
) -> None:
    sql = f"SELECT {{a:{kind}}}, {{b:String}}\n"
    spelled = with_literals(sql, {"a": value, "b": "{a:String}"})
    assert spelled == f"SELECT {literal}, CAST('{{a:String}}', 'String')"
