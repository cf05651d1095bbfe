"""Reads the outline of a trace as a client does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate, islice
from typing import Any

from support.api_client import ApiClient


@dataclass(frozen=True)
class OutlineRow:
    """A row of an outline; times in units, `start` from the start of the trace. `segments`: start and
    end of each, from the span's start; None if the span is not critical."""

    depth: int
    parent: int | None
    service: str
    name: str
    kind: str
    status: str
    scope: str
    start: int
    duration: int
    flags: int
    self_time: int
    segments: tuple[tuple[int, int], ...] | None


def read_outline(
    api: ApiClient, trace_id: str, **parameters: Any
) -> tuple[dict[str, Any], list[OutlineRow]]:
    """The first line of the outline, and its rows."""
    response = api.response(f"/api/v1/traces/{trace_id}/outline", **parameters)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/x-ndjson"
    tree, times = map(json.loads, response.text.splitlines())
    return tree, list(outline_rows(tree, times))


def outline_rows(tree: dict[str, Any], times: dict[str, Any]) -> Iterator[OutlineRow]:
    columns = tree["columns"]
    segments = _segments(columns["duration"], times["critical"])
    groups = [
        {name: tree["dictionaries"][name][place] for name, place in zip(tree["groups"], places, strict=True)}
        for places in zip(*tree["groups"].values(), strict=True)
    ]  # fmt: skip
    ancestors: list[int] = []
    starts = accumulate(columns["start"])
    self_times = dict(zip(accumulate(times["self"]["row"]), times["self"]["time"], strict=True))
    for row, (depth, group, start, duration, flags) in enumerate(
        zip(
            columns["depth"], columns["group"], starts, columns["duration"], columns["flags"],
            strict=True,
        )
    ):  # fmt: skip
        del ancestors[depth:]
        assert len(ancestors) == depth
        yield OutlineRow(
            depth, ancestors[-1] if ancestors else None, **groups[group], start=start,
            duration=duration, flags=flags, self_time=self_times.get(row, duration), segments=segments.get(row),
        )  # fmt: skip
        ancestors.append(row)


def _segments(
    durations: list[int], critical: dict[str, list[int]]
) -> dict[int, tuple[tuple[int, int], ...]]:
    segments = {row: ((0, durations[row]),) for row in accumulate(critical["whole"])}
    parts = iter(zip(critical["gap"], critical["length"], strict=True))
    for row, count in zip(accumulate(critical["row"]), critical["count"], strict=True):
        reached = 0
        for gap, length in islice(parts, count):
            segments[row] = (*segments.get(row, ()), (reached + gap, reached + gap + length))
            reached += gap + length
    assert next(parts, None) is None
    return segments
