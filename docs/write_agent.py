"""Writes the tables of docs/agent.md: the agent's settings, and what it instruments.

python docs/write_agent.py
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from clew.agent.instrumentations import LEFT_OFF, OUTSIDE, TABLE
from clew.agent.settings import PLAIN_SETTINGS, SETTINGS

PAGE = Path(__file__).parent / "agent.md"


def plain_settings() -> Iterator[str]:
    """The settings that stand for OpenTelemetry's."""
    yield "| variable | stands for | what it does |"
    yield "|-|-|-|"
    for setting in PLAIN_SETTINGS:
        variables = ", ".join(f"`{variable}`" for variable in setting.variables)
        yield f"| `{setting.name}` | {variables} | {setting.doc} |"


def settings() -> Iterator[str]:
    """The settings with defaults."""
    yield "| variable | default | what it does |"
    yield "|-|-|-|"
    for setting in SETTINGS:
        default = setting.default.replace(",", ", ")
        yield f"| `{setting.name}` | `{default}` | {setting.doc} |"


def coverage() -> Iterator[str]:
    """What is instrumented."""
    yield "| library | name | switched on when this is imported |"
    yield "|-|-|-|"
    for row in TABLE:
        libraries = ", ".join(row.libraries) or "standard library"
        yield f"| {libraries} | `{row.name}` | `{row.trigger}` |"


def left_out() -> Iterator[str]:
    """What is not instrumented, and why."""
    yield "| library | why not | instead |"
    yield "|-|-|-|"
    for library, reason in LEFT_OFF.items():
        yield f"| {library} | {reason} | |"
    first = {row.library: row for row in reversed(OUTSIDE)}
    for row in reversed(first.values()):
        package = row.instrumentation.package
        command = f"`clew run --install`, or `pip install {package}`"
        yield f"| {row.library} | {row.reason} | {command} |"


TABLES = {
    "plain settings": plain_settings,
    "settings": settings,
    "coverage": coverage,
    "left out": left_out,
}


def page() -> str:
    """The page with its tables as they are to be."""
    text = PAGE.read_text(encoding="utf-8")
    for name, rows in TABLES.items():
        head, mark, rest = text.partition(f"<!-- {name} -->\n")
        _, end, tail = rest.partition("<!-- end -->")
        if not mark or not end:
            raise ValueError(f"{PAGE}: no table for {name}")
        table = "\n".join(rows())
        text = f"{head}{mark}{table}\n{end}{tail}"
    return text


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
