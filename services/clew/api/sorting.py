"""The order of lists: `sort=KEY`, or `sort=-KEY` for the reverse.

Numbers come greatest first, times newest first, names from A to Z. Entries without a value of the
key come last, in both directions. Entries with equal values are in the order of their ids.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from fastapi import Query

from clew.api.parameters import CommonParameters
from clew.api.problems import Problem, nearest

Entry = TypeVar("Entry")
SortValue = float | str | None


def sort_parameter(choices: Iterable[str], default: str) -> Any:
    """The declaration of the parameter `sort` of a list."""
    names = ", ".join(f"`{name}`" for name in choices)
    text = f"Order of the list: {names}; a leading `-` reverses it. Default: `{default}`."
    return Query(description=text, examples=[default, f"-{default}"])


@dataclass(frozen=True)
class Order:
    """The order of a list: a key, and whether it is reversed."""

    key: str
    is_reversed: bool = False

    @classmethod
    def parse(
        cls, text: str | None, choices: Iterable[str], default: str, position: Mapping[str, Any]
    ) -> Order:
        """From the parameter `sort`, or else from the cursor's `position`, or else the default.
        Raises Problem 400 for an unknown key, and for a cursor of another order."""
        names = list(choices)
        in_cursor = position.get("sort", default) if position else None
        text = in_cursor or default if text is None else text
        key = text.removeprefix("-")
        if key not in names:
            advice = f"the nearest is {nearest(key, names)!r}; a leading - reverses the order"
            raise Problem(400, f"sort={text!r}: sort by one of {', '.join(names)} ({advice})")
        if in_cursor is not None and in_cursor != text:
            raise Problem(400, f"sort={text!r}: the cursor is of a list with sort={in_cursor}")
        return cls(key, text != key)

    def __str__(self) -> str:
        return f"-{self.key}" if self.is_reversed else self.key


def page_of(
    entries: Iterable[Entry],
    common: CommonParameters,
    order: Order,
    value_of: Callable[[Entry], SortValue],
    id_of: Callable[[Entry], str],
) -> tuple[list[Entry], str | None]:
    """The page of a list that is in memory as a whole, and the cursor of the next page."""
    position = common.position
    remaining = [
        entry
        for entry in entries
        if "id" not in position
        or _is_after(order, value_of(entry), id_of(entry), position.get("value"), position["id"])
    ]
    ordered = sorted_entries(remaining, order, value_of, id_of)
    page = ordered[: common.limit]
    if len(ordered) <= common.limit:
        return page, None
    last = page[-1]
    return page, common.next_cursor(sort=str(order), value=value_of(last), id=id_of(last))


def sorted_entries(
    entries: Sequence[Entry],
    order: Order,
    value_of: Callable[[Entry], SortValue],
    id_of: Callable[[Entry], str],
) -> list[Entry]:
    """All entries in this order."""
    by_id = sorted(entries, key=id_of)
    groups: dict[SortValue, list[Entry]] = {}
    for entry in by_id:
        groups.setdefault(value_of(entry), []).append(entry)
    without_value = groups.pop(None, [])
    values: list[Any] = sorted(groups, reverse=_is_descending(order, next(iter(groups), 0)))
    return [entry for value in values for entry in groups[value]] + without_value


def _is_descending(order: Order, value: SortValue) -> bool:
    return isinstance(value, str) == order.is_reversed


def _is_after(
    order: Order, value: SortValue, id: str, after_value: SortValue, after_id: str
) -> bool:
    """Whether an entry comes after the one with `after_value` and `after_id`."""
    if value == after_value:
        return id > after_id
    if value is None or after_value is None:
        return value is None
    if isinstance(value, str) != isinstance(after_value, str):
        raise Problem(400, "cursor: send the next_cursor of the previous page, unchanged")
    descending = _is_descending(order, value)
    greater = value > after_value  # type: ignore[operator]
    return greater != descending
