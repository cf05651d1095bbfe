"""The REST API."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from clew.access import Logins, login_secret
from clew.api import create_app
from clew.cli.parts.shared import Shared, listen, served
from clew.storage import Reader
from clew.web import Web


@contextlib.asynccontextmanager
async def read(shared: Shared) -> AsyncIterator[dict[str, str]]:
    """Serve the REST API, while this is entered."""
    reader = Reader(shared.store)
    keys, logins = shared.access.keys, None
    if keys is not None:
        logins = Logins(keys, login_secret(shared.settings.data / "login-secret"))
    app = create_app(
        reader,
        lambda: shared.freshness.accepts() and reader.answers(),
        shared.freshness,
        shared.access.authenticator,
        shared.registry,
        logins,
        Web(),
        shared.endpoints,
    )
    listening = listen(shared.settings.api, "--api")
    with served(app, listening, shared.access, "api") as url:
        yield {"api": url}
