"""Places in code, written to be read."""

from __future__ import annotations


def code_place(function: str, file: str, line: str) -> str:
    """`function (file:line)`, or what is known of it; empty if nothing is."""
    where = f"{file}:{line}" if file and line else file
    if function and where:
        return f"{function} ({where})"
    return function or where
