"""The named queries: the .sql files below a package's `queries` folder.

A query is one SELECT with server-side parameters (`{name:Type}`). Its name is the name of its file;
folders group queries by who runs them. Two parts can be inserted into a file's text: a first line
`-- with NAME` puts NAME.sql, which holds common table expressions or the beginning of the
statement, in front of the query, or the variant NAME_*.sql that the caller chose (`forms`); and
`/*filters*/` is replaced with a fragment from clew.storage.filters, whose values are parameters
too. No value from outside is ever written into SQL.

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
    """A query of a package, by name. `RowT` is the type of its rows, a TypedDict, or `Never` when
    the rows are inserted into a table."""

    package: str
    name: str


@cache
def sql_of(package: str, query: str, **forms: str) -> str:
    """The text of a query, with the common table expressions of its `-- with` in front. `forms`: by
    NAME, the file to use in its place. Raises KeyError when the package has no such file.

    Without its comments: the driver looks at each character of a statement that has a semicolon,
    which took 1 ms of a statement with long comments."""
    text = query_files(package)[query].read_text(encoding="utf-8")
    include = re.match(r"-- with (\w+)\n", text)
    text = re.sub(r"(?m)^ *--.*\n", "", text)
    if include is None:
        return text
    return sql_of(package, forms.get(include[1], include[1]), **forms) + text


@cache
def query_files(package: str) -> Mapping[str, Traversable]:
    """A package's .sql files by name, including those that hold only common table expressions."""
    return dict(_walk(files(package).joinpath("queries")))


def _walk(folder: Traversable) -> Iterator[tuple[str, Traversable]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _walk(entry)
        elif entry.name.endswith(".sql"):
            yield entry.name.removesuffix(".sql"), entry
