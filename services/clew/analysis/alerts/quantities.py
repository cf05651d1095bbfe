"""Durations, shares and conditions as people write them in rules: `10m`, `1 %`, `p95 > 800ms`.

Durations are seconds once they are read, shares are between 0 and 1, bytes are bytes.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
BYTES = {
    "B": 1.0, "kB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30,
}  # fmt: skip

_NUMBER = r"\d{1,15}(?:\.\d{1,9})?"
_DURATION = re.compile(rf"(?:{_NUMBER}(?:ms|[smhdw]))+", re.ASCII)
_DURATION_PART = re.compile(rf"({_NUMBER})(ms|[smhdw])", re.ASCII)
_AMOUNT = re.compile(rf"([+-]?{_NUMBER})\s?(\S*)", re.ASCII)
_CONDITION = re.compile(r"\s*([\w.]{1,200})\s*(<=|>=|==|!=|<|>)\s*(\S+(?: \S+)?)\s*", re.ASCII)

OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


def parse_duration(text: str) -> float:
    """The seconds of a duration such as `90s`, `1h30m` or `4d`. Raises ValueError."""
    if not _DURATION.fullmatch(text):
        raise ValueError("write a duration such as 90s, 10m, 1h30m or 4d")
    return sum(float(number) * SECONDS[unit] for number, unit in _DURATION_PART.findall(text))


def format_duration(seconds: float) -> str:
    """A duration as `parse_duration` reads it, in its largest units."""
    parts = []
    for unit in ("d", "h", "m", "s"):
        count, seconds = divmod(seconds, SECONDS[unit])
        if count:
            parts.append(f"{count:.0f}{unit}")
    if round(seconds * 1000) or not parts:
        parts.append(f"{seconds * 1000:.9g}ms")
    return "".join(parts)


def parse_amount(text: str) -> float:
    """The number of an amount: `3`, `5 %` as 0.05, `800ms` as 0.8 s, `300kB` as bytes. Raises
    ValueError."""
    match = _AMOUNT.fullmatch(text.strip())
    if match is None:
        raise ValueError("write a number, with %, a unit of time (ms, s, m, h, d) or of size (kB)")
    number, unit = float(match[1]), match[2]
    if not unit:
        return number
    if unit == "%":
        return number / 100
    factor = SECONDS.get(unit) or BYTES.get(unit)
    if factor is None:
        units = ", ".join(("%", *SECONDS, *BYTES))
        raise ValueError(f"{unit!r} is not a unit: write one of {units}")
    return number * factor


@dataclass(frozen=True)
class Condition:
    """A measure compared with a limit: `p95 > 800ms`. Durations are in seconds."""

    measure: str
    comparison: str
    limit: float
    text: str

    def holds(self, value: float) -> bool:
        """Whether a value of the measure fulfils the condition."""
        return OPERATORS[self.comparison](value, self.limit)

    @property
    def is_upper(self) -> bool:
        """Whether large values fulfil the condition."""
        return self.comparison in (">", ">=")


def parse_condition(text: str) -> Condition:
    """Reads `MEASURE COMPARISON AMOUNT`. Raises ValueError."""
    match = _CONDITION.fullmatch(text)
    if match is None:
        raise ValueError(
            "write a measure, a comparison and an amount, such as p95 > 800ms or error_rate > 2%"
        )
    return Condition(match[1], match[2], parse_amount(match[3]), " ".join(text.split()))


def _duration(value: Any) -> Any:
    if isinstance(value, str):
        return parse_duration(value)
    raise ValueError("write a duration with its unit, such as 90s, 10m, 1h30m or 4d")


def _share(value: Any) -> Any:
    return parse_amount(value) if isinstance(value, str) else value


def _condition(value: Any) -> Any:
    return parse_condition(value) if isinstance(value, str) else value


Seconds = Annotated[
    float,
    Field(ge=0, le=366 * SECONDS["d"]),
    BeforeValidator(_duration),
    PlainSerializer(format_duration),
    WithJsonSchema({"type": "string", "pattern": f"^{_DURATION.pattern}$", "examples": ["10m"]}),
]
"""A duration in seconds, written with units."""
Share = Annotated[
    float,
    Field(gt=0, le=1),
    BeforeValidator(_share),
    WithJsonSchema({"type": ["number", "string"], "examples": ["10%", 0.1]}),
]
"""A share between 0 and 1, written as a number or in percent."""
Amount = Annotated[
    float,
    Field(allow_inf_nan=False),
    BeforeValidator(_share),
    WithJsonSchema({"type": ["number", "string"], "examples": ["500ms", "300kB", 20]}),
]
"""A number, written with or without a unit."""
When = Annotated[
    Condition,
    BeforeValidator(_condition),
    PlainSerializer(lambda condition: condition.text),
    WithJsonSchema({"type": "string", "examples": ["p95 > 800ms", "error_rate > 2%"]}),
]
"""A condition, written as a text."""
