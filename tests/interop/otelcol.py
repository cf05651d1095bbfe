"""OpenTelemetry Collectors as processes: built from the manifests in collector/otelcol, and run with the
configurations beside them."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest
import yaml
from gobuild import ENVIRONMENT, INTEROP

CONFIGURATIONS = Path(__file__).parents[2] / "collector" / "otelcol"
GATEWAY, AGENT = "manifest.yaml", "manifest-agent.yaml"


def program(manifest: str) -> Path:
    """The collector of a manifest, built if that has not been done: minutes, once. Skips the test where its
    modules cannot be fetched."""
    text = (CONFIGURATIONS / manifest).read_bytes()
    version, name = (yaml.safe_load(text)["dist"][key] for key in ("version", "name"))
    directory = INTEROP / "otelcol"
    built = directory / f"{name}-{hashlib.sha256(text).hexdigest()[:12]}"
    if not built.exists():
        sources = directory / name
        shutil.rmtree(sources, ignore_errors=True)
        sources.mkdir(parents=True)
        (sources / "manifest.yaml").write_bytes(text)
        builder = directory / f"builder-{version}" / "builder"
        if not builder.exists():
            module = f"go.opentelemetry.io/collector/cmd/builder@v{version}"
            _run(["go", "install", module], sources, GOBIN=str(builder.parent))
        _run([str(builder), "--config", "manifest.yaml"], sources)
        (sources / name / name).rename(built)
    return built


def _run(command: list[str], directory: Path, **more: str) -> None:
    env = os.environ | ENVIRONMENT
    ran = subprocess.run(
        command, cwd=directory, env=env | more, capture_output=True, text=True, check=False
    )
    if "server response:" in ran.stderr or "dial tcp" in ran.stderr:
        pytest.skip(f"go could not fetch the collector's modules: {ran.stderr[-500:]}")
    assert ran.returncode == 0, ran.stderr[-2000:]


class Otelcol:
    """A collector, started and ready; what it keeps is in `directory`, and is kept between starts."""

    ADDRESSES = ("GRPC", "HTTP", "HEALTH", "JAEGER_GRPC", "JAEGER_HTTP", "ZIPKIN")

    def __init__(
        self, program: Path, directory: Path, *configurations: str, **environment: str
    ) -> None:
        directory.mkdir(exist_ok=True)
        self.log = directory / "log"
        self.addresses = dict(zip(self.ADDRESSES, _free(len(self.ADDRESSES)), strict=True))
        self.http = f"http://{self.addresses['HTTP']}"
        named = {f"OTELCOL_{name}": address for name, address in self.addresses.items()}
        files = [f"--config={CONFIGURATIONS / name}" for name in configurations]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [str(program), *files],
                cwd=directory,
                env=os.environ | named | environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._wait_until_ready()

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log.read_text()
            try:
                if httpx.get(f"http://{self.addresses['HEALTH']}").is_success:
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.05)
        raise AssertionError(f"not ready: {self.log.read_text()}")

    def wait_until_said(self, words: str) -> None:
        deadline = time.monotonic() + 30
        while words not in self.log.read_text():
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.1)

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(30) == 0, self.log.read_text()


def validate(program: Path, *configurations: str, **environment: str) -> str:
    """What the collector has against them."""
    files = [f"--config={CONFIGURATIONS / name}" for name in configurations]
    ran = subprocess.run(
        [str(program), "validate", *files],
        env=_plain(os.environ) | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return "" if ran.returncode == 0 else ran.stderr + ran.stdout


def _plain(environment: Mapping[str, str]) -> dict[str, str]:
    """Without what would stand in for a default."""
    return {
        name: value
        for name, value in environment.items()
        if not name.startswith(("OTELCOL_", "CLEW_"))
    }


def _free(count: int) -> list[str]:
    """Addresses that nobody listens at."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    finally:
        for each in sockets:
            each.close()
