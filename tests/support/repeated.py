"""A trace with a query for each row of another one's result, and stored findings."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

from clew.analysis.findings.cost import Finding, TransactionCost, finding_id
from clew.analysis.findings.records import FindingRecords, FindingState
from clew.storage import Store
from clew.storage.statements import Statements
from support.traffic import CLIENT, MILLISECOND, SERVER, Process, Span

SHOP, STOCK = (Process(name, f"{name}-1", "prod") for name in ("shop", "stock"))
STATEMENT = "SELECT * FROM stock WHERE sku = ?"
SELECT = {"db.system.name": "postgresql", "db.query.text": STATEMENT}


def n_plus_one(trace: str, start: int, queries: int = 10) -> Iterator[Span]:
    """`GET /list` of shop asks stock, which runs so many queries of 20 ms, one after the other."""
    lasts = (queries * 20 + 20) * MILLISECOND
    root = Span(trace, "01" * 8, "", SHOP, "GET /list", SERVER, start, start + lasts)
    call = replace(root, id="02" * 8, parent=root.id, name="GET", kind=CLIENT)
    served = replace(root, id="03" * 8, parent=call.id, name="GET /stock", process=STOCK)
    yield from (root, call, served)
    for number in range(queries):
        begin = start + (number * 20 + 10) * MILLISECOND
        yield Span(
            trace, f"{number + 16:016x}", served.id, STOCK, "SELECT", CLIENT, begin,
            begin + 20 * MILLISECOND, attributes=dict(SELECT),
        )  # fmt: skip


def stored_finding(rule: str, subject: str, saved_ms: float, now: float, trace: str) -> Finding:
    """A finding of the inventory that costs two transactions."""
    service, operation = "inventory", "POST /stock"
    costs = tuple(
        TransactionCost(id, name, "prod", saved_ms, saved_ms * rate, 0.31, 0.9, value)
        for id, name, rate, value in (
            ("checkout", "storefront: POST /checkout", 40.0, 1204.5),
            ("0123456789abcdef", "storefront: GET /cart", 8.0, None),
        )
    )
    advice = f"{operation} runs “{subject}” 12 times for each request, 46 ms in all. One statement for all rows takes about 4 ms."
    return Finding(
        finding_id(rule, "prod", service, operation, subject), rule, "prod", service, operation, subject,
        "list_stock (app/stock.py:41)", advice, costs, (trace,), now - 600, now, now,
    )  # fmt: skip


FINDING = finding_id("n_plus_one_queries", "prod", "inventory", "POST /stock", STATEMENT)


def load_findings(store: Store, trace: str) -> None:
    """Stores findings in several states; `trace` is an example of each."""
    now = float(int(time.time()))
    records = FindingRecords(Statements(store))
    findings = [
        stored_finding("n_plus_one_queries", STATEMENT, 42.0, now, trace),
        stored_finding("swallowed_errors", "GET stock/shelves/{}", 0.0, now, trace),
        stored_finding("serial_calls", "GET stock/a, GET stock/b", 12.0, now, trace),
    ]
    records.put(findings, {}, now, 1)
    records.change(
        [findings[2].id], FindingState.IGNORED, now, "anna", "a report that may take long"
    )
