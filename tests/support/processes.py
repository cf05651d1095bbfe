"""clew as a process of its own."""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx

CLEW = [sys.executable, "-m", "clew.cli"]
FREE_ADDRESSES = [
    *("--otlp-http", "127.0.0.1:0", "--otlp-grpc", "127.0.0.1:0"),
    *("--api", "127.0.0.1:0", "--clickhouse", ""),
]
CLEW_UP = [*CLEW, "up", *FREE_ADDRESSES]


class Clew:
    """`clew up` as a process of its own, on free ports; with a certificate, that one is trusted."""

    program: Sequence[str] = CLEW
    command: str = "up"
    addresses: Sequence[str] = FREE_ADDRESSES
    environment: Mapping[str, str] = {}

    def __init__(
        self, data: Path, *flags: str, certificate: Path | None = None, wait: bool = True
    ) -> None:
        self.data = data
        self.trust = ssl.create_default_context(cafile=certificate) if certificate else True
        self.log = data.parent / f"{data.name}.log"
        self._flags = flags
        if wait:
            self.start()
        else:
            self.start_without_waiting()

    def start(self) -> None:
        """Start it, or start it again on the same data; returns once it is ready."""
        self.start_without_waiting()
        self.endpoints: dict[str, str] = self._wait_until_ready()

    def start_without_waiting(self) -> None:
        (self.data / "endpoints.json").unlink(missing_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *self.program,
                    self.command,
                    *self.addresses,
                    "--data",
                    str(self.data),
                    *self._flags,
                ],
                env={**os.environ, "PYTHONUNBUFFERED": "1", **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _wait_until_ready(self) -> dict[str, str]:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log.read_text()
            try:
                endpoints = json.loads((self.data / "endpoints.json").read_text())
                ready = f"{endpoints['api'] or endpoints['otlp_http']}/readyz"
                if httpx.get(ready, verify=self.trust).is_success:
                    return dict(endpoints)
            except (OSError, ValueError, httpx.HTTPError):
                pass
            time.sleep(0.05)
        raise AssertionError(f"not ready: {self.log.read_text()}")

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM; its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def get(self, path: str, **parameters: object) -> httpx.Response:
        return httpx.get(f"{self.endpoints['api']}{path}", params=parameters, timeout=30)  # type: ignore[arg-type]
