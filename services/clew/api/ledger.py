"""What became of everything that was received."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from fastapi import Request

from clew.api import models
from clew.api.answer import Answering
from clew.api.parameters import SECOND, CommonParameters, Window, rfc3339
from clew.api.reference import routes
from clew.storage import SIGNALS, LedgerRow, queries
from clew.storage import ledger as fates

router = routes("ledger")

MINUTE = 60
MAX_EXPIRED = 10_000
SILENCE = 150  # seconds without a heartbeat after which the collector was not running

Pending = Callable[[], list[LedgerRow]]


@router.get("", response_model=models.LedgerAnswer)
def ledger(request: Request, common: CommonParameters, answer: Answering) -> dict[str, Any]:
    """Per signal, service and minute: received, stored, rejected, pending, late, in items.

    `received = stored + rejected + pending` at every moment. A request belongs to the minute in
    which its segment of the spool began. `outages` are the times in which no collector ran;
    `expired` the days that were dropped to keep the database below its limit."""
    # First what the table may not say yet, then the table without it: nothing counts twice.
    pending = request.app.state.pending()
    rows = answer.rows(
        queries.LEDGER,
        **common.window.parameters,
        without=sorted({row.segment for row in pending}),
    )
    rows += [_as_row(row) for row in pending if _is_in(common.window, row)]
    expired = answer.most(queries.EXPIRED, MAX_EXPIRED, **common.window.parameters)
    accounts = {name: _Account() for name in SIGNALS}
    minutes: dict[str, dict[int, _Account]] = {name: defaultdict(_Account) for name in SIGNALS}
    for row in rows:
        if row["signal"] in accounts:
            accounts[row["signal"]].add(row)
            minutes[row["signal"]][row["minute"]].add(row)
    return answer.of(
        start=rfc3339(common.window.start),
        end=rfc3339(common.window.end),
        signals=[
            {
                "signal": name,
                **account.document(),
                "series": [
                    {"time": rfc3339(minute * SECOND), **minutes[name][minute].document()}
                    for minute in sorted(minutes[name])
                ],
            }
            for name, account in accounts.items()
        ],
        unreadable_requests=sum(each.unreadable_requests for each in accounts.values()),
        expired=[{**row, "time": f"{row['time'].replace(' ', 'T')}Z"} for row in expired],
        outages=_outages(
            common.window, [row["minute"] for row in rows if row["fate"] == fates.ALIVE]
        ),
    )


@dataclass
class _Account:
    received: int = 0
    stored: int = 0
    rejected: int = 0
    pending: int = 0
    late: int = 0
    unreadable_requests: int = 0
    refused_requests: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    services: defaultdict[str, Counter[str]] = field(
        default_factory=lambda: defaultdict(lambda: Counter(stored=0, late=0))
    )

    def add(self, row: queries.LedgerRow) -> None:
        items = row["items"]
        match row["fate"]:
            case fates.RECEIVED:
                self.received += items
            case fates.PENDING:
                self.received += items
                self.pending += items
            case fates.STORED:
                self.stored += items
                self.late += row["late"]
                self.services[row["service"]].update(stored=items, late=row["late"])
            case fates.UNREADABLE:
                self.unreadable_requests += items
            case fates.REFUSED:
                self.refused_requests += items
            case reason:
                self.rejected += items
                self.reasons[reason] += items

    def document(self) -> dict[str, Any]:
        services = [{"service": name, **counts} for name, counts in sorted(self.services.items())]
        return vars(self) | {"reasons": dict(self.reasons), "services": services}


def _as_row(row: LedgerRow) -> queries.LedgerRow:
    return {
        "signal": row.signal,
        "service": row.service,
        "fate": row.fate,
        "minute": int(row.received_at) // MINUTE * MINUTE,
        "items": row.items,
        "late": row.late,
    }


def _is_in(window: Window, row: LedgerRow) -> bool:
    # As the table has it: in milliseconds.
    return window.start <= int(row.received_at * 1000) * 1_000_000 < window.end


def _outages(window: Window, minutes: Iterable[int]) -> list[dict[str, str]]:
    """The times between two heartbeats too far apart; before the first, nothing is known."""
    beats = sorted({*minutes})
    beats.append(max(window.end // SECOND, *beats[-1:], 0))
    return [
        {"start": rfc3339((before + MINUTE) * SECOND), "end": rfc3339(after * SECOND)}
        for before, after in pairwise(beats)
        if after - before > SILENCE
    ]
