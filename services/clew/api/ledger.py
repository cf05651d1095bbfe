"""The ledger: what became of every item that was received."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from fastapi import Request

from clew.api.answer import AnswerDependency
from clew.api.freshness import reads
from clew.api.models import ledger as models
from clew.api.parameters import SECOND, CommonDependency, Window, rfc3339
from clew.api.reference import routes
from clew.storage import SIGNALS, LedgerRow, queries
from clew.storage import ledger as fates

router = routes("ledger")

MINUTE = 60
MAX_EXPIRED = 10_000
MAX_HEARTBEAT_GAP = 150  # seconds; in a longer one no collector was running


@router.get("", response_model=models.Ledger)
@reads("traces", "logs", "metrics", unasked=False)
def ledger(request: Request, common: CommonDependency, answer: AnswerDependency) -> dict[str, Any]:
    """Items received, stored, rejected, pending and late, by signal, service and minute.

    `received = stored + rejected + pending` at every moment. A request is counted in the minute in
    which its segment of the spool was opened. `mended`: items received and changed.
    `redacted`: items from which secrets were removed (`--redact`). `outages`: times without a
    running collector. `expired`: days of data that were dropped to keep the
    database below its limit."""
    # Read what may be missing from the table first, then the table without those segments: an item
    # is never counted twice.
    pending = request.app.state.freshness.pending()
    rows = answer.rows(
        queries.LEDGER,
        **common.window.parameters,
        without=sorted({row.segment for row in pending}),
    )
    rows += [_as_row(row) for row in pending if _is_in_window(row, common.window)]
    expired = answer.limited_rows(queries.EXPIRED, MAX_EXPIRED, **common.window.parameters)
    accounts = {signal: _Account() for signal in SIGNALS}
    minutes: dict[str, dict[int, _Account]] = {signal: defaultdict(_Account) for signal in SIGNALS}
    for row in rows:
        if row["signal"] in accounts:
            accounts[row["signal"]].add(row)
            minutes[row["signal"]][row["minute"]].add(row)
    heartbeats = [row["minute"] for row in rows if row["fate"] == fates.ALIVE]
    return answer.document(
        start=rfc3339(common.window.start),
        end=rfc3339(common.window.end),
        signals=[
            {
                "signal": signal,
                **account.document(),
                "series": [
                    {"time": rfc3339(minute * SECOND), **minutes[signal][minute].document()}
                    for minute in sorted(minutes[signal])
                ],
            }
            for signal, account in accounts.items()
        ],
        unreadable_requests=sum(account.unreadable_requests for account in accounts.values()),
        expired=[{**row, "time": f"{row['time'].replace(' ', 'T')}Z"} for row in expired],
        outages=_outages(common.window, heartbeats),
    )


@dataclass
class _Account:
    """Counts of items, and of requests that were not parsed or not accepted."""

    received: int = 0
    stored: int = 0
    rejected: int = 0
    pending: int = 0
    late: int = 0
    mended: int = 0
    redacted: int = 0
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
            case fates.MENDED:
                self.mended += items
            case fates.REDACTED:
                self.redacted += items
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
    """A pending row in the form of the table's rows."""
    return {
        "signal": row.signal,
        "service": row.service,
        "fate": row.fate,
        "minute": int(row.received_at) // MINUTE * MINUTE,
        "items": row.items,
        "late": row.late,
    }


def _is_in_window(row: LedgerRow, window: Window) -> bool:
    # The table has milliseconds.
    return window.start <= int(row.received_at * 1000) * 1_000_000 < window.end


def _outages(window: Window, heartbeats: Iterable[int]) -> list[dict[str, str]]:
    """The gaps between heartbeats that are too long. Before the first one nothing is known."""
    minutes = sorted({*heartbeats})
    minutes.append(max(window.end // SECOND, *minutes[-1:], 0))
    return [
        {"start": rfc3339((before + MINUTE) * SECOND), "end": rfc3339(after * SECOND)}
        for before, after in pairwise(minutes)
        if after - before > MAX_HEARTBEAT_GAP
    ]
