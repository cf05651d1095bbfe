"""Answers to requests: each reads the database and makes the response document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi import Query as Parameter

from clew.api.access import ScopedRoute
from clew.api.parameters import SECOND, rfc3339
from clew.api.rooted_traces import RootedTraces
from clew.storage import Forms, Query, Reader, Reading, RowT, queries
from clew.storage.freshness import MAX_WAIT, WAIT, Freshness, Pending

SETTLER_ROW = "pass"  # the row of clew_settler that says how far traces are settled


class Answer:
    """The answer to one request."""

    def __init__(
        self, reading: Reading, explain: bool, rooted_traces: RootedTraces, pending: Pending | None
    ) -> None:
        self.in_parallel = reading.in_parallel
        self.rooted_traces = rooted_traces
        self._reading = reading
        self._explain = explain
        self._pending = pending
        self._truncated = False
        self._settled: dict[str, str | None] = {}

    def rows(
        self,
        query: Query[RowT],
        filters: str = "",
        forms: Forms | None = None,
        rows_read: int | None = None,
        **parameters: Any,
    ) -> list[RowT]:
        """The rows of a query; see `Reading.rows`."""
        return self._reading.rows(query, filters, forms, rows_read, **parameters)

    def text(self, query: Query[Any], **parameters: Any) -> bytes:
        """The rows of a query as lines of JSON."""
        return self._reading.text(query, **parameters)

    def columns(
        self, query: Query[Any], rows_read: int | None = None, **parameters: Any
    ) -> dict[str, Sequence[Any]]:
        """The rows of a query as columns; see `Reading.columns`."""
        return self._reading.columns(query, rows_read=rows_read, **parameters)

    def first_row(self, query: Query[RowT], **parameters: Any) -> RowT | None:
        """The first row of a query; None when it has no rows."""
        return next(iter(self.rows(query, **parameters)), None)

    def limited_rows(
        self, query: Query[RowT], limit: int, *, per: str = "", **parameters: Any
    ) -> list[RowT]:
        """At most `limit` rows, or with `per`, at most `limit` for each value of that column (the
        query must limit by it too). When there are more, the answer is truncated."""
        rows = self.rows(query, **parameters, limit=limit + 1)
        counts: Counter[Any] = Counter()
        selected = []
        for row in rows:
            counts[row.get(per)] += 1
            if counts[row.get(per)] <= limit:
                selected.append(row)
        if len(selected) < len(rows):
            self.mark_truncated()
        return selected

    def rests_on_settled_traces(self, *steps: str) -> None:
        """The document says up to when traces were settled, and the steps had run over them, when
        its rows were read: `settled_until`. To be called before they are read."""
        until = self._pending.settled_until if self._pending else None
        if until is not None:
            self._settled = {"settled_until": rfc3339(int(until * SECOND))}
            return
        row = self.first_row(queries.SETTLER_PROGRESS, names=[SETTLER_ROW, *steps])
        self._settled = {"settled_until": row["settled_until"] if row else None}

    def use_one_thread(self) -> None:
        """The statements run beside one another, and none of them reads much."""
        self._reading.threads = 1

    def mark_truncated(self) -> None:
        """The document does not contain everything that was asked for."""
        self._truncated = True

    def document(self, **members: Any) -> dict[str, Any]:
        """The response document: the members, `truncated`, `pending` if it is computed from what is
        received, `settled_until` if it rests on settled traces, and with `explain` the
        statements."""
        pending = {"pending": self._pending.items} if self._pending else {}
        statements = {"sql": self._reading.statements} if self._explain else {}
        return members | {"truncated": self._truncated} | pending | self._settled | statements


async def get_answer(
    request: Request,
    explain: Annotated[
        bool, Parameter(description="Whether to add `sql`, the statements that were run.")
    ] = False,
    wait: Annotated[
        float,
        Parameter(
            ge=0,
            le=MAX_WAIT,
            description="Seconds to wait at most until what was received before the request is "
            "stored; with 0 the response has what is stored already.",
        ),
    ] = WAIT,
) -> Answer:
    # It waits here, on the event loop, so that no thread waits.
    pending = await _catch_up(request, wait)
    request.state.pending = pending
    reader: Reader = request.app.state.reader
    # As in HTTP: a client that says so is not answered from a cache.
    reading = reader.begin(cached="no-cache" not in request.headers.get("cache-control", ""))
    request.state.readings.append(reading)
    return Answer(reading, explain, request.app.state.rooted_traces, pending)


async def _catch_up(request: Request, wait: float) -> Pending | None:
    """What is pending of what the route reads; None for a route that reads nothing which is
    received. A further page is of the same rows as the first.

    Who says how long to wait is not put off to save CPU time; who asks again and again is."""
    route: ScopedRoute = request.scope["route"]
    if not route.reads.signals:
        return None
    parameters = request.query_params
    says_it = "wait" in parameters
    waits = (route.waits_unasked or says_it) and not parameters.get("cursor")
    freshness: Freshness = request.app.state.freshness
    return await freshness.catch_up(route.reads, wait if waits else 0.0, urgent=says_it)


AnswerDependency = Annotated[Answer, Depends(get_answer)]
