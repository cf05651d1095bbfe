"""ClickHouse over HTTP, for the embedded engine."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from clew.cli.parts.shared import Shared, listen, served
from clew.clickhouse import Application
from clew.collector.spool import SegmentIds
from clew.storage import Sessions


@contextlib.asynccontextmanager
async def sql_port(shared: Shared) -> AsyncIterator[dict[str, str]]:
    """Serve ClickHouse's HTTP protocol, while this is entered; nothing where the address is empty,
    or a server has its own."""
    address = shared.settings.clickhouse
    if address is None or not shared.store.embedded:
        yield {}
        return
    sessions = Sessions(shared.store, shared.events.inserted)
    new_segment, authenticator = SegmentIds().next, shared.access.authenticator
    app = Application(sessions, new_segment, authenticator, shared.freshness)
    with served(app, listen(address, "--clickhouse"), shared.access, "clickhouse") as url:
        try:
            yield {"clickhouse": url}
        finally:
            app.close()
