"""The language of the code: names are nouns and verbs of the field, functions and modules are short.

When a test fails, use the name that stands beside the old one in the tables below."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
AREAS = ("collector", "storage", "services")

# Names that the code once had, and their replacements. Case and leading underscores do not count.
# `class` or `def` in front: only such a definition is meant.
OLD_NAMES = {
    # storage
    "class moved": "MovedTable",
    "def stored": "shard_table",
    "def tables_of": "signal_tables",
    "alone": "SINGLE_NODE",
    "beside": "PARALLEL_READS",
    "everywhere": "on_cluster",
    "header_of": "chunk_header",
    "in_thousands": "batches",
    "in_two_days": "traces_across_midnight",
    "let_go": "release_frozen",
    "make_again": "rebuild_side_rows",
    "of_traces_with_a_span": "traces_with_span",
    "of_traces_without_a_span": "traces_without_span",
    "patiently": "with_retries",
    "rows_of": "local_table",
    "spelled_out": "with_literals",
    # analysis
    "class course": "InsertCursor",
    "class progress": "SettlerProgress or BackfillProgress",
    "calls_of": "service_calls",
    "entry_of": "entry_index",
    "first_of_each": "index_spans",
    "frontier": "settled_up_to",
    "leave_out": "skip",
    "low": "oldest_possible; of a range: minimum, lower",
    "offered": "ValueQuota; attributes",
    "put_down": "save_progress",
    "row_of": "settled_row",
    "thinned": "sampling",
    "times_of": "compute_times",
    "waited_for": "child_ids",
    # ingest and collector
    "class ids": "SegmentIds",
    "class stored": "StoredItems",
    "def enter": "write_rows, write_ledger",
    "file_of": "encode_segment",
    "into_tables": "metrics_store",
    "select_of": "side_select",
    "settled_within": "reloaded_within",
    "strike": "remove_invalid",
    "unsettled": "ambiguous",
    "written_out_until": "write_out_until",
    # documents, API, ports
    "about": "TraceSelection; subject",
    "again": "requeue; retry_after",
    "asked": "over_all_nodes; HttpQuery, SeriesQuery, JaegerQuery; request, query, parameters",
    "look_again": "reload_if_changed",
}
# Pronouns, participles and the like tell nothing of a value: say what it is.
EMPTY_NAMES = {
    "come": "what has arrived: spans, rows",
    "done": "is_done; what is complete",
    "each": "one of them: span, row, definition",
    "found": "what was found: match, rows, ids",
    "given": "what was given: arguments, settings",
    "gone": "disconnected, removed",
    "has": "has_KEY",
    "here": "local; the name of the place",
    "it": "the noun: match",
    "its": "the noun: times, rows",
    "kept": "what is kept: retained_days",
    "left": "remaining; what remains",
    "made": "what was made: table, rows",
    "most": "maximum, limit; limited_rows",
    "of": "document; total; arguments",
    "ours": "source, local",
    "own": "self_time; column",
    "said": "message, reported",
    "sent": "what was sent: requests, sent_rows",
    "some": "batch, group",
    "taken": "consumed; extract",
    "theirs": "target, remote",
    "there": "is_present; target",
    "told": "report",
    "wanted": "expected",
}
BETTER = OLD_NAMES | EMPTY_NAMES

# Names that the code did not choose: fields of the API.
FOREIGN = {"services/clew/api/models/joined.py": {"of"}}

# Generated modules have the names of the queries' columns.
GENERATED = {"storage/clew/storage/queries.py", "services/clew/analysis/queries.py"}
MAX_FUNCTION = 60  # lines
MAX_MODULE = 500


def modules(area: str) -> list[str]:
    """The modules of an area that people write, as paths from the root."""
    paths = (str(path.relative_to(ROOT)) for path in (ROOT / area).rglob("*.py"))
    return sorted(path for path in paths if path not in GENERATED)


@cache
def parse(module: str) -> ast.Module:
    return ast.parse((ROOT / module).read_text(encoding="utf-8"))


def definitions(tree: ast.AST) -> Iterator[tuple[int, str, str]]:
    """Line, name and kind (`class`, `def` or "") of all classes, functions, arguments, variables and
    attributes that a module defines."""
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef(name=name):
                yield node.lineno, name, "class"
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield node.lineno, name, "def"
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield node.lineno, name, ""
            case ast.arg(arg=name) | ast.alias(asname=str(name)):
                yield node.lineno, name, ""
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)):
                yield node.lineno, name, ""


def old_names(module: str) -> Iterator[str]:
    """A line for each definition with a name of the tables above."""
    for line, name, kind in definitions(parse(module)):
        word = name.lower().lstrip("_")
        better = BETTER.get(word) or BETTER.get(f"{kind} {word}")
        if better is not None and name not in FOREIGN.get(module, ()):
            yield f"{module}:{line}: `{name}`: better {better}"


@pytest.mark.parametrize("area", AREAS)
def test_names_are_nouns_and_verbs_of_the_field(area: str) -> None:
    problems = [problem for module in modules(area) for problem in old_names(module)]
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("area", AREAS)
def test_functions_are_short(area: str) -> None:
    lengths = {
        f"{module}: {node.name}": (node.end_lineno or node.lineno) - node.lineno + 1
        for module in modules(area)
        for node in ast.walk(parse(module))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert {name: lines for name, lines in lengths.items() if lines > MAX_FUNCTION} == {}


@pytest.mark.parametrize("area", AREAS)
def test_modules_are_short(area: str) -> None:
    lengths = {
        module: len((ROOT / module).read_text(encoding="utf-8").splitlines())
        for module in modules(area)
    }
    assert {module: lines for module, lines in lengths.items() if lines > MAX_MODULE} == {}
