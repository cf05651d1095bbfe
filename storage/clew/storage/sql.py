"""The named queries: the .sql files below a package's `queries` folder.

A query is one SELECT with server-side parameters (`{name:Type}`). Its name is its file's, in
whichever folder it lies: folders say who runs it. Two things are put together from files:
`-- with NAME` in the first line puts NAME.sql, which holds common table expressions, in front of
it, or that of NAME_*.sql which the caller has chosen (`forms`); and `/*filters*/` gives way to a
fragment from clew.storage.filters, whose values are parameters too. Nothing from outside is ever
written into SQL.

Code uses a query by its constant in the package's module `queries`, a `Query`, which also states
the type of its rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any, Generic, TypeVar

# The packages that have queries.
STORAGE, ANALYSIS = "clew.storage", "clew.analysis"

RowT = TypeVar("RowT", bound=Mapping[str, Any])


@dataclass(frozen=True)
class Query(Generic[RowT]):
    """A query by its name. `RowT` is a TypedDict, the type of its rows; `Never` when its rows are
    inserted into a table."""

    package: str
    name: str


@cache
def sql_of(package: str, query: str, **forms: str) -> str:
    """The text of a package's query, behind the common table expressions that it begins with, in
    the forms chosen. Raises KeyError when the package has no such file."""
    text = query_files(package)[query].read_text(encoding="utf-8")
    included = re.match(r"-- with (\w+)\n", text)
    if included is None:
        return text
    expressions = sql_of(package, forms.get(included[1], included[1]), **forms)
    return expressions + text[included.end() :]


@cache
def query_files(package: str) -> Mapping[str, Traversable]:
    """A package's .sql files by name, including those that hold only common table expressions."""
    return dict(_below(files(package).joinpath("queries")))


def _below(folder: Traversable) -> Iterator[tuple[str, Traversable]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _below(entry)
        elif entry.name.endswith(".sql"):
            yield entry.name.removesuffix(".sql"), entry
