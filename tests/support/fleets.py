"""The shop's processes under `clew run`, which send to an address of one's choice."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from clew.cli.run import environment
from clew.shop import fleet
from clew.shop.faults import KNOWN
from support.capture import free_port, running

NAMES = (*fleet.LARGE, *fleet.WEB_SERVICES)
RESOURCE = "service.version={version},deployment.environment.name=demo"


class Fleet:
    """A large shop that runs in `directory` and sends to `endpoint`."""

    def __init__(self, directory: Path, endpoint: str) -> None:
        self.ports = {name: free_port() for name in NAMES}
        self._directory = directory
        self._endpoint = endpoint
        self._commands = fleet.commands(directory, self.ports)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            started = {
                name: stack.enter_context(
                    running(command.argv, self._environment(name), self._place(name))
                )
                for name, command in self._commands.items()
            }
            for name, port in self.ports.items():
                started[name].wait_for_port(port)
            yield
            for process in started.values():
                process.stop()

    def switch(self, fault: str = "") -> None:
        """Switch on this fault alone, or none."""
        plan: dict[str, Any] = {fault: KNOWN[fault].usual._asdict()} if fault else {}
        for port in self.ports.values():
            httpx.put(f"http://127.0.0.1:{port}/admin/faults", json=plan).raise_for_status()

    def load(self, *, rate: float, seconds: float, seed: int, report: Path) -> None:
        """Customers for so long."""
        port = self.ports["storefront"]
        load = fleet.load_command(port, rate=rate, duration_s=seconds, seed=seed, report=report)
        subprocess.run(load.argv, env=dict(os.environ), check=True, timeout=seconds + 120)

    def _environment(self, name: str) -> dict[str, str]:
        command = self._commands[name]
        env: dict[str, str] = {**os.environ, **command.env}
        if command.service:
            env = environment(command.argv, service_name=command.service, endpoint=self._endpoint)
            attributes = RESOURCE.format(version=command.version)
            env |= {**command.env, "OTEL_RESOURCE_ATTRIBUTES": attributes}
            env |= {"XDG_CACHE_HOME": str(self._directory / f"{name}-cache")}
        return env

    def _place(self, name: str) -> Path:
        place = self._directory / name
        place.mkdir(exist_ok=True)
        return place
