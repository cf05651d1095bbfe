"""The REST API."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator

from clew.access import Logins, login_secret
from clew.analysis.alerts.receivers import Receiver
from clew.api import create_app
from clew.api.receivers import SendTest
from clew.cli.parts.shared import Shared, listen, served
from clew.delivery import DeliveryError
from clew.delivery.addresses import Networks
from clew.delivery.senders import Sender
from clew.delivery.trial import send_test
from clew.storage import Reader
from clew.storage.changes import StatementCache
from clew.web import Web


@contextlib.asynccontextmanager
async def read(shared: Shared) -> AsyncIterator[dict[str, str]]:
    """Serve the REST API, while this is entered."""
    store = shared.store
    reader = Reader(store, cache=None if store.shared else StatementCache(store.changes))
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
        shared.rulebook,
        _send_test(shared),
    )
    listening = listen(shared.settings.api, "--api")
    with served(app, listening, shared.access, "api") as url:
        yield {"api": url}


def _send_test(shared: Shared) -> SendTest:
    """Sends test messages to receivers."""
    sender = Sender(Networks(shared.settings.alert_networks))

    def send(receiver: Receiver, name: str, author: str) -> str:
        try:
            send_test(sender, receiver, name, author, time.time())
        except DeliveryError as error:
            return str(error)
        return ""

    return send
