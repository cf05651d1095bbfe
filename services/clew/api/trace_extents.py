"""When traces began and ended: what makes reading their spans cheap."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from clew.api.answer import Answer
from clew.storage import queries


class Extent(NamedTuple):
    """From when to when the spans of a trace are, in nanoseconds since 1970, and the number of
    their rows."""

    start: int
    end: int
    spans: int


def read_extents(answer: Answer, trace_ids: Iterable[str]) -> dict[str, Extent]:
    """The extents of the traces that are stored, by trace id."""
    ids = sorted(set(trace_ids))
    extents: dict[str, Extent] = {}
    for row in answer.rows(queries.TRACE_EXTENTS, trace_ids=ids) if ids else ():
        known = extents.get(row["trace_id"], Extent(row["start"], row["end"], 0))
        extents[row["trace_id"]] = Extent(
            min(known.start, row["start"]), max(known.end, row["end"]), known.spans + row["spans"]
        )
    return extents
