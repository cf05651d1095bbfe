"""Rows that Python has computed, ready to be inserted as one block in the Native format."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from clew.storage.rows import WORD, Rows


def native_rows(table: str, columns: Mapping[str, str], rows: Iterable[Sequence[Any]]) -> Rows:
    """The rows of a table. `columns` are the types by name, in the order of a row's values. Texts
    are str, and the times of a DateTime64(9) nanoseconds since 1970."""
    converters = [_converter(kind) for kind in columns.values()]
    return Rows(
        table,
        columns,
        [
            tuple(
                converter(value) if converter else value
                for converter, value in zip(converters, row, strict=True)
            )
            for row in rows
        ],
    )


def _converter(kind: str) -> Callable[[Any], Any] | None:
    """What turns a value into the one that native_block takes; None if it is one."""
    if kind.startswith("Array("):
        convert = _converter(kind.removeprefix("Array(").removesuffix(")"))
        return None if convert is None else lambda values: list(map(convert, values))
    if kind == "String":
        return str.encode
    return (lambda time: time % WORD) if kind == "DateTime64(9)" else None
