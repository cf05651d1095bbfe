"""The reading that answers a request, and the document that comes of it."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi import Query as Parameter

from clew.storage import Forms, Query, Reader, Reading, RowT


class Answer:
    """One request's reading of the database, and the answer that comes of it."""

    def __init__(self, reading: Reading, explain: bool) -> None:
        self.together = reading.together
        self._reading = reading
        self._explain = explain
        self._cut = False

    def rows(
        self, query: Query[RowT], filters: str = "", forms: Forms | None = None, **parameters: Any
    ) -> list[RowT]:
        return self._reading.rows(query, filters, forms, **parameters)

    def text(self, query: Query[Any], **parameters: Any) -> bytes:
        """The rows as lines of JSON."""
        return self._reading.text(query, **parameters)

    def row(self, query: Query[RowT], **parameters: Any) -> RowT | None:
        return next(iter(self.rows(query, **parameters)), None)

    def most(
        self, query: Query[RowT], limit: int, *, each: str = "", **parameters: Any
    ) -> list[RowT]:
        """At most `limit` rows (of each value of the column `each`, where the query limits by it);
        the answer says that it was cut when there are more."""
        rows = self.rows(query, **parameters, limit=limit + 1)
        found: Counter[Any] = Counter()
        kept = []
        for row in rows:
            found[row.get(each)] += 1
            if found[row.get(each)] <= limit:
                kept.append(row)
        if len(kept) < len(rows):
            self.was_cut()
        return kept

    def was_cut(self) -> None:
        self._cut = True

    def of(self, **members: Any) -> dict[str, Any]:
        """The answer's document, with the statements that produced it where they were asked for."""
        explained = {"sql": self._reading.statements} if self._explain else {}
        return members | {"truncated": self._cut} | explained


def answer(
    request: Request,
    explain: Annotated[bool, Parameter(description="add the SQL that produced the answer")] = False,
) -> Answer:
    reader: Reader = request.app.state.reader
    reading = reader.begin()
    request.state.readings.append(reading)
    return Answer(reading, explain)


Answering = Annotated[Answer, Depends(answer)]
