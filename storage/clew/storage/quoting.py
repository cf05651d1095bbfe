"""Names and texts as they are written into SQL, where a bound parameter cannot stand."""

from __future__ import annotations


def identifier(name: str) -> str:
    """A name in backquotes."""
    escaped = name.replace("\\", "\\\\").replace("`", "\\`")
    return f"`{escaped}`"


def literal(text: str) -> str:
    """A string literal."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def parameter_value(text: str) -> str:
    """A bound parameter's value as the embedded engine reads it: escaped like a field of TSV."""
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")
