"""Slow requests of one value of an attribute."""

from __future__ import annotations

import pytest

from clew.analysis.queries import WatchValuesRow
from clew.analysis.watching.values import slowest

# Requests and slow ones, in the window and before it.
Counts = tuple[int, int, int, int]


def rows(**values: Counts) -> list[WatchValuesRow]:
    """Of all requests, which is the sum, and of tenants."""
    whole = tuple(sum(column) for column in zip(*values.values(), strict=True))
    listed = [("", "", whole), *(("tenant", name, counts) for name, counts in values.items())]
    return [
        WatchValuesRow(
            key=key,
            value=value,
            requests=counts[0],
            slow=counts[1],
            requests_before=counts[2],
            slow_before=counts[3],
        )
        for key, value, counts in listed
    ]


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({"a": (30, 28, 120, 10), "b": (80, 8, 400, 40)}, "a"),
        ({"a": (30, 28, 120, 100), "b": (80, 8, 400, 40)}, ""),  # it always was
        ({"a": (30, 28, 120, 10), "b": (80, 60, 400, 40)}, ""),  # so are the others
        ({"a": (12, 6, 120, 10), "b": (80, 8, 400, 40)}, ""),  # few
        ({"a": (30, 28, 120, 10)}, ""),  # there is no other
    ],
)
def test_a_value_is_slow_that_was_not_if_the_others_are_not(
    values: dict[str, Counts], found: str
) -> None:
    row = slowest(rows(**values), 0.1)
    assert (row["value"] if row else "") == found
