"""How the torture tests start clew."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from support.processes import Clew

LAUNCHER = Path(__file__).with_name("launcher.py")


class FaultyClew(Clew):
    """`clew up` under launcher.py, with its switches."""

    program = (sys.executable, str(LAUNCHER))

    def __init__(self, data: Path, *flags: str, **switches: object) -> None:
        self.switches = data.parent / f"{data.name}.switches"
        self.switches.mkdir()
        for name, value in switches.items():
            self.switch_on(name, value)
        self.environment = {"CLEW_TORTURE": str(self.switches)}
        self.addresses = own_addresses()
        super().__init__(data, *flags)

    def switch_on(self, name: str, value: object = "") -> None:
        new = self.switches / f"{name}.new"
        new.write_text(str(value))
        new.rename(self.switches / name)

    def switch_off(self, *names: str) -> None:
        for name in names:
            (self.switches / name).unlink(missing_ok=True)

    def wait_until_dead(self) -> None:
        """Wait until it has killed itself, as the switch `kill` says, and turn the switch off."""
        assert self.process.wait(60) == -9, self.log.read_text()
        self.switch_off("kill")


def own_addresses() -> list[str]:
    """Flags for addresses outside the range of ephemeral ports, so that no other process takes them
    while clew is down, and clew's clients reach only clew."""
    flags = []
    for flag in ("--otlp-http", "--otlp-grpc", "--api"):
        while True:
            port = random.randrange(20_000, 32_000)
            with closing(socket.socket()) as probe:
                if probe.connect_ex(("127.0.0.1", port)) != 0:
                    break
        flags += [flag, f"127.0.0.1:{port}"]
    return [*flags, "--clickhouse", ""]


@contextmanager
def small_disk(directory: Path, mebibytes: int) -> Iterator[Path]:
    """A disk of this size mounted at `directory`; skips the test if none can be mounted."""
    directory.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "torture", str(directory)]
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    mounted = subprocess.run(mount, capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.strip()}")
    try:
        yield directory
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)


def resize(directory: Path, mebibytes: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={mebibytes}m", str(directory)], check=True)
