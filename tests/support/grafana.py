"""Grafana's part in a statement: what it and the ClickHouse data source put in before it is sent.

In their order: `$__conditionalAll(condition, $variable)`, in the browser, by the variable's value; the
variables, `${name:singlequote}` as a list of quoted values and `${name}` as the value is; then the macros,
in the plugin's backend. Older versions of it take a macro's arguments to end at the first closing
parenthesis, so that here one within them is an error. Ad hoc filters are settings at the statement's end.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

ALL = "$__all"
Value = str | Sequence[str]


@dataclass(frozen=True)
class Grafana:
    """Times are seconds since 1970; `step` is the panel's interval. A variable that stands at All has
    the value ALL."""

    start: int
    end: int
    step: int = 60
    variables: Mapping[str, Value] = field(default_factory=dict)

    def expand(self, sql: str) -> str:
        sql = self._conditions(sql)
        sql = re.sub(r"\$\{(\w+)(?::(\w+))?\}", self._variable, sql)
        sql = re.sub(r"\$__(\w+)(?:\(([^()]*)\))?", self._macro, sql)
        assert "$" not in re.sub(r"'(?:[^'\\]|\\.|'')*'", "", sql), sql
        return sql

    def _conditions(self, sql: str) -> str:
        macro = "$__conditionalAll("
        while (at := sql.rfind(macro)) >= 0:
            (condition, name), end = _arguments(sql, at + len(macro))
            value = self.variables[name.strip().strip("${}")]
            sql = sql[:at] + ("1=1" if value in (ALL, "") else condition) + sql[end:]
        return sql

    def _variable(self, match: re.Match[str]) -> str:
        value = self.variables[match[1]]
        assert value != ALL, f"{match[1]} stands at All, and nothing is conditional on that"
        if match[2] is None:
            assert isinstance(value, str)
            return value
        assert match[2] == "singlequote"
        values = [value] if isinstance(value, str) else value
        return ",".join("'" + each.replace("'", "\\'") + "'" for each in values)

    def _macro(self, match: re.Match[str]) -> str:
        name, column = match[1], match[2]
        start, end = f"toDateTime({self.start})", f"toDateTime({self.end})"
        match name:
            case "timeFilter":
                return f"{column} >= {start} AND {column} <= {end}"
            case "timeInterval":
                return f"toStartOfInterval(toDateTime({column}), INTERVAL {self.step} second)"
            case "fromTime" | "toTime" | "interval_s":
                value = {"fromTime": start, "toTime": end, "interval_s": str(self.step)}[name]
                return value if column is None else f"{value}({column})"
        raise AssertionError(f"not a macro that the dashboards use: {match[0]}")


def filtered(sql: str, table: str, condition: str) -> str:
    """With an ad hoc filter on a table: the plugin looks for its name in the statement as it stands."""
    if not re.search(rf"\b{table}\b", sql.replace('"', "")):
        return sql
    escaped = condition.replace("\\", "\\\\").replace("'", "\\'")
    return f"{sql}\nsettings additional_table_filters={{'{table}' : '{escaped}'}}"


def _arguments(sql: str, at: int) -> tuple[list[str], int]:
    """The two arguments that begin there, and where they end: commas count outside of parentheses."""
    depth, begun, found = 1, at, []
    for place in range(at, len(sql)):
        depth += {"(": 1, ")": -1}.get(sql[place], 0)
        if depth == 0 or (depth == 1 and sql[place] == ","):
            found.append(sql[begun:place])
            begun = place + 1
        if depth == 0:
            assert len(found) == 2, found
            return found, place + 1
    raise AssertionError(f"no end: {sql[at:]}")
