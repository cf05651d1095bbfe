"""What receivers of alerts were told."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import Query

from clew.analysis import queries
from clew.api.answer import Answer, AnswerDependency
from clew.api.freshness import reads
from clew.api.models import notifications as models
from clew.api.parameters import CommonDependency, rfc3339, split_page
from clew.api.reference import routes
from clew.api.sorting import Order, sort_parameter

router = routes("notifications")

SORTS = ("time",)
MILLISECOND = 1_000_000  # nanoseconds


@router.get("", response_model=models.Notifications)
@reads()
def notifications(
    common: CommonDependency,
    answer: AnswerDependency,
    receiver: Annotated[str | None, Query(description="Only messages to this receiver.")] = None,
    state: Annotated[
        models.NotificationState | None, Query(description="Only messages in this state.")
    ] = None,
    alert: Annotated[
        str | None, Query(description="Only messages of the alert with this id.")
    ] = None,
    sort: Annotated[str | None, sort_parameter(SORTS, "time")] = None,
) -> dict[str, Any]:
    """What receivers were told or are to be told, the newest first, of the last 90 days. The window
    of time has no meaning here."""
    order = Order.parse(sort, SORTS, "time", common.position)
    rows = _rows(
        answer,
        common.limit + 1,
        direction=1 if order.is_reversed else -1,
        after_time=common.position.get("value"),
        after_id=common.position.get("id", ""),
        receiver=receiver,
        state=state,
        alert=alert,
    )
    page, has_more = split_page(rows, common.limit)
    next_cursor = None
    if has_more:
        last = page[-1]
        next_cursor = common.next_cursor(sort=str(order), value=last["time"], id=last["key"])
    return answer.document(notifications=list(map(_document, page)), next_cursor=next_cursor)


def newest_notifications(answer: Answer, limit: int, alert: str) -> list[dict[str, Any]]:
    """The newest messages of an alert, as models.Notification."""
    return list(map(_document, _rows(answer, limit, alert=alert)))


def _rows(answer: Answer, limit: int, **parameters: Any) -> list[queries.OutboxEntriesRow]:
    defaults = {"direction": -1, "after_time": None, "after_id": ""}
    filters = {"receiver": None, "state": None, "alert": None}
    return answer.rows(queries.OUTBOX_ENTRIES, **defaults | filters | parameters, limit=limit)


def _document(row: queries.OutboxEntriesRow) -> dict[str, Any]:
    notification = json.loads(row["notification"])
    return {name: value for name, value in row.items() if name != "notification"} | {
        "time": rfc3339(row["time"] * MILLISECOND),
        "episode": notification["episode"],
        "headline": notification["headline"],
    }
