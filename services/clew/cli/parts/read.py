"""The REST API."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from clew.api import create_app
from clew.cli.parts.shared import Shared, listen, served
from clew.storage import Reader


@contextlib.asynccontextmanager
async def read(shared: Shared) -> AsyncIterator[dict[str, str]]:
    """Serve the REST API, while this is entered."""
    reader = Reader(shared.store)
    app = create_app(
        reader,
        lambda: shared.freshness.accepts() and reader.answers(),
        shared.freshness.pending,
        shared.access.authenticator,
        shared.registry,
    )
    listening = listen(shared.settings.api, "--api")
    with served(app, listening, shared.access, "api") as url:
        yield {"api": url}
