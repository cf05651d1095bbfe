"""Debian's Alertmanager as the receiver of what the watcher finds."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from shop.model import Shop

from clew.analysis.alerts.receivers import Receiver
from clew.delivery.deliverer import Deliverer
from clew.delivery.senders import Sender
from clew.shop.faults import BANK
from clew.storage import Ingest, Store
from support.capture import free_port, running
from support.loading import Running
from support.receivers import LOOPBACK
from support.watched_shop import WatchedShop

PROGRAM = shutil.which("prometheus-alertmanager")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PROGRAM is None, reason="Debian's prometheus-alertmanager is not installed"),
]
CONFIGURATION = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n"


@pytest.fixture
def alertmanager(tmp_path: Path) -> Iterator[str]:
    """Its address."""
    assert PROGRAM is not None
    port = free_port()
    configuration = tmp_path / "alertmanager.yaml"
    configuration.write_text(CONFIGURATION)
    command = [PROGRAM, f"--config.file={configuration}", f"--storage.path={tmp_path / 'am'}"]
    command += [f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="]
    with running(command, os.environ, tmp_path, "alertmanager") as process:
        process.wait_for_port(port)
        yield f"http://127.0.0.1:{port}"


def active(url: str) -> list[dict[str, Any]]:
    alerts: list[dict[str, Any]] = httpx.get(f"{url}/api/v2/alerts").raise_for_status().json()
    return alerts


def test_it_has_an_alert_while_it_fires(
    store: Store, ingest: Ingest, tmp_path: Path, alertmanager: str
) -> None:
    start = int(time.time()) // 3600 * 3600 - 6 * 3600
    shop = Shop(1, start, rate=1.5, plan=[("bank_slow", 60, 75)])
    watched = WatchedShop(store, ingest, tmp_path, shop, start, 100)
    receiver = Receiver.model_validate({"alertmanager": {"url": alertmanager}})
    deliverer = Deliverer(
        watched.outbox, lambda: {"team": receiver}, Sender(LOOPBACK), lambda: watched.now
    )
    watched.watch_from(59, 66)
    deliverer.deliver(Running())
    (alert,) = active(alertmanager)
    assert alert["status"]["state"] == "active"
    assert alert["labels"]["service"] == "payments"
    assert alert["labels"]["dependency"] == BANK
    assert alert["annotations"]["summary"].startswith(f"payments → {BANK}: slow requests")
    watched.watch_from(67, 100)
    deliverer.deliver(Running())
    assert active(alertmanager) == []
    assert watched.outbox.waiting() == []
