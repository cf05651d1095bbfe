"""The heatmap of a transaction: how many of its instances took how long, over time."""

from __future__ import annotations

from bisect import bisect_left
from typing import Any

from clew.analysis.transactions.definitions import Definition
from clew.api.answer import AnswerDependency
from clew.api.defined_transactions import DefinitionsDependency
from clew.api.freshness import reads
from clew.api.models import transactions as models
from clew.api.parameters import CommonDependency, read_rfc3339, rfc3339
from clew.api.reference import routes
from clew.api.selection import TraceSelection
from clew.api.transactions import automatic_selection, find_transaction
from clew.storage import queries

router = routes("transactions")

MAX_COLUMNS = 120
# Lower bounds of the cells in nanoseconds, eight for each power of ten, up to the longest duration.
BOUNDS = sorted({round(10 ** (number / 8)) for number in range(152)})


@router.get("/{transaction_id}/heatmap", response_model=models.Heatmap)
@reads("traces", "logs", settled=True)
def heatmap(
    transaction_id: str,
    common: CommonDependency,
    answer: AnswerDependency,
    definitions: DefinitionsDependency,
) -> dict[str, Any]:
    """How many instances took how long, over time, in cells. Of a defined transaction the duration
    is that of the matched entry span.

    A region of the heatmap is a set for `GET /api/v1/compare`, and a filter of `GET
    /api/v1/transactions/{transaction_id}/instances`: from the time of its first column to that of
    the column after its last one, and from its lowest to its highest bound."""
    transaction = find_transaction(answer, definitions, transaction_id)
    answer.rests_on_settled_traces()
    if isinstance(transaction, Definition):
        selection = TraceSelection(common.window, common.environment, defined=transaction.id)
    else:
        selection = automatic_selection(transaction, common)
    step = common.window.step_for(MAX_COLUMNS)
    rows = answer.rows(
        queries.TRANSACTION_HEATMAP, **selection.parameters, step=step, bounds=BOUNDS
    )
    times = common.window.starts(step)
    columns = {time: number for number, time in enumerate(times)}
    cells = [0, *BOUNDS]
    first = min((bisect_left(cells, row["bound"]) for row in rows), default=0)
    last = max((bisect_left(cells, row["bound"]) for row in rows), default=-1)
    counts = [[0] * (last + 1 - first) for _ in times]
    errors = [[0] * (last + 1 - first) for _ in times]
    for row in rows:
        column = columns[read_rfc3339(row["time"])]
        cell = bisect_left(cells, row["bound"]) - first
        counts[column][cell] = row["count"]
        errors[column][cell] = row["errors"]
    return answer.document(
        start=rfc3339(common.window.start),
        end=rfc3339(common.window.end),
        step_seconds=step,
        times=[rfc3339(time) for time in times],
        bounds_ms=bounds_ms(first, last) if rows else [],
        counts=counts,
        errors=errors,
    )


def bounds_ms(first: int, last: int) -> list[float]:
    """The bounds of the cells `first` to `last`, in milliseconds: one more than there are cells. A
    bound lies between two nanoseconds, so that no duration is equal to it."""
    bounds = [0.0, *((bound - 0.5) / 1e6 for bound in BOUNDS), float(1 << 63) / 1e6]
    return bounds[first : last + 2]
