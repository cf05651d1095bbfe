"""Names and values as SQL text, for the places where ClickHouse takes no bound parameter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def identifier(name: str) -> str:
    """A name in backquotes."""
    escaped = name.replace("\\", "\\\\").replace("`", "\\`")
    return f"`{escaped}`"


def literal(value: Any) -> str:
    """None, a boolean, a number, or a list or tuple of literals; anything else as a string."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list):
        return f"[{', '.join(map(literal, value))}]"
    if isinstance(value, tuple):
        return f"({', '.join(map(literal, value))})"
    escaped = str(value).replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def assignments(settings: Mapping[str, int | str]) -> str:
    """What follows SETTINGS: `name = 'value', …`. The engine parses each value from its text."""
    return ", ".join(f"{name} = {literal(str(value))}" for name, value in settings.items())


def parameter_value(text: str) -> str:
    """A bound parameter's value as the embedded engine expects it: escaped like a field of TSV."""
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")
