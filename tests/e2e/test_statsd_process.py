"""StatsD comes in over a socket and is a metric of the API."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from urllib.parse import urlsplit

from support.processes import Clew
from support.stored import wait_until_loaded


def test_statsd_is_stored_with_its_service_even_when_clew_stops_at_once(tmp_path: Path) -> None:
    flags = ("--statsd", f"127.0.0.1:0,unix:{tmp_path}/statsd.sock", "--statsd-service", "legacy")
    clew = Clew(tmp_path / "data", *flags, "--redact", "true")
    address = urlsplit(clew.endpoints["statsd"])
    assert address.hostname is not None
    assert address.port is not None
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(
            b"jobs:3|c|#kind:mail\nsize:7|g|#api_key:hunter2", (address.hostname, address.port)
        )
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"jobs:2|c|#kind:mail,service:mailer", str(tmp_path / "statsd.sock"))
    time.sleep(0.2)
    assert clew.stop() == 0
    clew = Clew(tmp_path / "data", *flags)
    try:
        wait_until_loaded(clew.data)
        metrics = clew.get("/api/v1/metrics").json()["metrics"]
        services = {metric["name"]: sorted(metric["services"]) for metric in metrics}
        assert services["jobs"] == ["legacy", "mailer"]
        assert services["size"] == ["legacy"]
        size = clew.get("/api/v1/metrics/query", name="size", by="api_key").text
        assert "REDACTED" in size
        assert "hunter2" not in size
        ledger = clew.get("/api/v1/ledger").json()["signals"]
        (row,) = (row for row in ledger if row["signal"] == "metrics")
        assert (row["received"], row["stored"], row["redacted"]) == (3, 3, 1)
    finally:
        assert clew.stop() == 0
