"""A trace with a query for each row of another one's result."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

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
