"""What the documents name exists: paths, links, modules, identifiers and tables."""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GUIDES = [
    ROOT / "ARCHITECTURE.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "tests" / "README.md",
    ROOT / "docs" / "glossary.md",
    *sorted((ROOT / "docs" / "design").glob("*.md")),
]
PAGES = [*ROOT.glob("*.md"), ROOT / "tests" / "README.md", *(ROOT / "docs").rglob("*.md")]
# Files that exist only once clew or a build ran, patterns, and the file that must not exist.
ELSEWHERE = re.compile(
    r"[<*$~]|^/|^\.venv|^dist/|^spool/|^services/clew/web/static|^(manifest|endpoints)\.json$|NNNN|^clew/__init__\.py$"
)
SUFFIXES = {
    ".py",
    ".sql",
    ".md",
    ".yaml",
    ".yml",
    ".json",
    ".toml",
    ".txt",
    ".proto",
    ".cfg",
    ".sh",
}
PLANNED = r"^## Rooms that are planned\n.*?(?=^## |\Z)"
SOURCES = ("storage", "collector", "services", "bench", "dashboards")
AREAS = ("storage/clew", "collector/clew", "services/clew")


def code_spans(page: Path) -> Iterator[str]:
    """What stands between single backticks; blocks of code and planned rooms are left out."""
    text = re.sub(r"^( *)```.*?^\1```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    text = re.sub(PLANNED, "", text, flags=re.DOTALL | re.MULTILINE)
    yield from re.findall(r"`([^`\n]+)`", text)


def paths(page: Path) -> Iterator[str]:
    for span in code_spans(page):
        word = span.strip()
        looks_like_a_path = re.fullmatch(r"[\w./*<>{}-]+", word) and (
            Path(word).suffix in SUFFIXES or ("/" in word and not word.startswith("otel"))
        )
        if looks_like_a_path and not ELSEWHERE.search(word):
            yield word


def exists(path: str, page: Path) -> bool:
    """Whether `path` is there: from the root, from the page, inside one of the packages, or, for a bare
    file name, anywhere in the checkout's sources."""
    roots = [ROOT, page.parent, *(ROOT / area for area in AREAS)]
    roots += [package for area in AREAS for package in (ROOT / area).iterdir() if package.is_dir()]
    if any((root / path).exists() for root in roots):
        return True
    return "/" not in path and any(
        next((ROOT / top).rglob(path), None)
        for top in (
            "storage",
            "collector",
            "services",
            "tests",
            "bench",
            "docs",
            "deploy",
            "dashboards",
        )
    )


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.name)
def test_paths_exist(page: Path) -> None:
    named = list(paths(page))
    assert not [path for path in named if not exists(path.rstrip("/"), page)]


def test_planned_rooms_do_not_exist_yet() -> None:
    """One that exists belongs into the table of what is where, and its recipe beside the others."""
    page = ROOT / "ARCHITECTURE.md"
    (section,) = re.findall(PLANNED, page.read_text(), flags=re.DOTALL | re.MULTILINE)
    rooms = [span for span in re.findall(r"`([^`\n]+)`", section) if "/" in span]
    assert rooms
    assert not [room for room in rooms if exists(room.rstrip("/"), page)]


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.name)
def test_modules_exist(page: Path) -> None:
    modules = {
        span for span in code_spans(page) if re.fullmatch(r"clew(\.[a-z_0-9]+)+", span.strip())
    }
    assert not [module for module in modules if not is_module(module)]


def is_module(name: str) -> bool:
    """Whether `name` is a module, or a name inside one."""
    parent, _, last = name.rpartition(".")
    try:
        if importlib.util.find_spec(name):
            return True
        return hasattr(importlib.import_module(parent), last)
    except ModuleNotFoundError:
        return False


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.name)
def test_identifiers_exist(page: Path) -> None:
    """Names of classes, functions, constants, tables and settings, such as `Store.write_lock`."""
    identifiers = {
        span
        for span in code_spans(page)
        if re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)?(\(\))?", span)
        and re.search(r"_|[a-z][A-Z]|^[A-Z][a-z]", span)
    }
    assert not [name for name in identifiers if last_name(name) not in known_words()]


def last_name(identifier: str) -> str:
    return identifier.removesuffix("()").rpartition(".")[2]


@cache
def known_words() -> frozenset[str]:
    """Every word of the sources, and the name of every file of SQL."""
    files = [
        path
        for top in (*SOURCES, "deploy", "tests/support")
        for path in (ROOT / top).rglob("*")
        if path.suffix in {".py", ".sql", ".proto", ".yaml", ".xml"}
        and "node_modules" not in path.parts
    ]
    words = {word for path in files for word in re.findall(r"\w+", path.read_text())}
    return frozenset(words | {path.stem for path in files})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text())
    local = [target for target in targets if "://" not in target and not target.startswith("/")]
    assert not [target for target in local if not (page.parent / target).exists()]
