"""The one place where SQL is put together from a request: filters on attributes."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from clew.storage.errors import StorageError

COMPARISONS = ("<", ">")


class FilterError(StorageError):
    """A filter that cannot be read; says how one is written."""


@dataclass(frozen=True)
class AttributeFilter:
    """`key`, an operator (`=`, `!=`, `~` for a part of the text, `>`, `<` for numbers), `value`."""

    key: str
    operator: str
    value: str

    @classmethod
    def parse(cls, text: str) -> AttributeFilter:
        """From `http.route=/checkout`, `http.route~check`, `http.response.status_code>499`, …"""
        match = re.fullmatch(r"([^=!~<>]+)(!=|=|~|>|<)(.*)", text, re.DOTALL)
        if match is None:
            raise FilterError(
                f"attr {text!r}: write key=value, key!=value, key~part, key>number or key<number"
            )
        key, operator, value = match.groups()
        if operator in COMPARISONS and not _is_number(value):
            raise FilterError(f"attr {text!r}: {operator} compares numbers, and {value!r} is none")
        return cls(key, operator, value)


def attribute_filters(filters: list[AttributeFilter], own: str) -> tuple[str, dict[str, Any]]:
    """A fragment ` AND … AND …` and its parameters. A key is looked for among a row's `own`
    attributes (a column of ours) and then among its resource's."""
    fragments = []
    parameters: dict[str, Any] = {}
    for number, each in enumerate(filters):
        compares = each.operator in COMPARISONS
        key = f"{{attr_key_{number}:String}}"
        value = f"{{attr_value_{number}:{'Float64' if compares else 'String'}}}"
        found = f"if(mapContains({own}, {key}), {own}[{key}], ResourceAttributes[{key}])"
        fragments.append(
            f" AND ({CONDITIONS[each.operator].format(found=found, value=value, key=key, own=own)})"
        )
        parameters |= {
            f"attr_key_{number}": each.key,
            f"attr_value_{number}": float(each.value) if compares else each.value,
        }
    return "".join(fragments), parameters


# A row without the key is never equal to a value, and always different from it.
PRESENT = "(mapContains({own}, {key}) OR mapContains(ResourceAttributes, {key}))"
CONDITIONS = {
    # the second line is what lets the bloom filters leave granules out
    "=": PRESENT + " AND {found} = {value}"
    " AND (has(mapValues({own}), {value}) OR has(mapValues(ResourceAttributes), {value}))",
    "!=": "NOT (" + PRESENT + " AND {found} = {value})",
    "~": PRESENT + " AND position({found}, {value}) > 0",
    ">": PRESENT + " AND toFloat64OrNull({found}) > {value}",
    "<": PRESENT + " AND toFloat64OrNull({found}) < {value}",
}


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
