"""A service under the agent for some seconds, and everything that is seen of it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import psutil

from clew.agent import report, settings
from clew.cli.doctor.connection import Destination, Response, request
from clew.cli.doctor.receiver import receiving
from clew.cli.doctor.telemetry import Telemetry
from clew.cli.run import environment
from clew.cli.settings import UsageError

SIGNALS = ("traces", "metrics", "logs")
_STOP_WITHIN = 10.0  # seconds, after SIGTERM
_SETTLED_AFTER = 5.0  # seconds that a process has to start the agent
_LOOK_EVERY = 0.5  # seconds between two looks at the processes, and between requests


@dataclass(frozen=True)
class SeenProcess:
    """A Python process of the service that lived for some seconds."""

    pid: int
    command: str


@dataclass(frozen=True)
class SentRequest:
    """A request of the doctor's own, in a trace that it began; times are nanoseconds."""

    url: str
    trace_id: str
    span_id: str
    start: int
    end: int
    response: Response


@dataclass
class Run:
    """environ: of the service, with every default of the agent. reports: of each process, as
    clew.agent.report writes them. exit_status: None if it was still running when it was ended.
    refused: answers to what was handed on to the service's receiver, by status."""

    environ: Mapping[str, str]
    telemetry: Telemetry
    reports: list[dict[str, Any]] = field(default_factory=list)
    processes: list[SeenProcess] = field(default_factory=list)
    requests: list[SentRequest] = field(default_factory=list)
    words: list[str] = field(default_factory=list)  # the agent's own lines of output
    last_lines: list[str] = field(default_factory=list)
    exit_status: int | None = None
    seconds: float = 0.0
    is_handed_on: bool = False
    refused: Mapping[int, int] = field(default_factory=dict)


def resolved(environ: Mapping[str, str], endpoint: str | None, name: str | None) -> dict[str, str]:
    """The environment of the service with every default of the agent. Raises UsageError."""
    values = dict(environ)
    if endpoint:
        values["OTEL_EXPORTER_OTLP_ENDPOINT"] = endpoint
    if name:
        values["OTEL_SERVICE_NAME"] = name
    try:
        settings.apply_defaults(values)
    except ValueError as error:
        raise UsageError(f"doctor: {error}") from error
    return values


def run_service(
    command: Sequence[str],
    environ: Mapping[str, str],
    seconds: float,
    destination: Destination | None,
    urls: Sequence[str] = (),
) -> Run:
    """Start a command, send GET requests to `urls`, and end it after `seconds`. What it prints goes
    to stderr. `environ` is that of `resolved`. Raises UsageError if it cannot be started."""
    with (
        receiving(destination) as receiver,
        tempfile.TemporaryDirectory(prefix="clew-doctor-") as directory,
    ):
        run = Run(environ, receiver.telemetry, is_handed_on=destination is not None)
        env = _environment(command, environ, receiver.url, directory)
        start = time.monotonic()
        with _started(command, env, run) as service:
            _watch(service, run, start + seconds, urls)
        run.seconds = time.monotonic() - start
        run.reports = list(_reports(Path(directory)))
        run.refused = receiver.refused
    return run


def _environment(
    command: Sequence[str], environ: Mapping[str, str], url: str, directory: str
) -> dict[str, str]:
    env = environment(command, base=environ)
    for name in list(env):
        if name.startswith("OTEL_EXPORTER_OTLP_") and name.endswith(("_ENDPOINT", "_PROTOCOL")):
            del env[name]
    local = {
        name: f"{env.get(name, '')},127.0.0.1".lstrip(",") for name in ("NO_PROXY", "no_proxy")
    }
    return {
        **env,
        **local,
        "OTEL_EXPORTER_OTLP_ENDPOINT": url,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_METRIC_EXPORT_INTERVAL": "2000",
        report.DIRECTORY: directory,
    }


@contextlib.contextmanager
def _started(
    command: Sequence[str], env: Mapping[str, str], run: Run
) -> Iterator[subprocess.Popen[bytes]]:
    """The service as a process group of its own, which ends with this."""
    try:
        service = subprocess.Popen(
            command,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        raise UsageError(f"doctor: {command[0]}: {error.strerror}") from error
    assert service.stdout is not None
    reading = threading.Thread(target=_pass_on, args=(service.stdout, run), daemon=True)
    reading.start()
    try:
        yield service
    finally:
        _end(service)
        reading.join(1)


def _end(service: subprocess.Popen[bytes]) -> None:
    """Ask the service to end, and have all of its group ended."""
    if service.poll() is None:
        service.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            service.wait(_STOP_WITHIN)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(service.pid, signal.SIGKILL)
    service.wait()


def _pass_on(stream: IO[bytes], run: Run) -> None:
    lines: deque[str] = deque(maxlen=5)
    for line in stream:
        sys.stderr.buffer.write(line)
        sys.stderr.flush()
        text = line.decode(errors="replace").rstrip()
        if text.startswith("clew: "):
            run.words.append(text)
        elif text:
            lines.append(text)
            run.last_lines = list(lines)


def _watch(service: subprocess.Popen[bytes], run: Run, until: float, urls: Sequence[str]) -> None:
    """Look at the service's processes and send it requests until then, or until it ends."""
    seen: dict[int, SeenProcess] = {}
    due = 0.0
    with contextlib.suppress(KeyboardInterrupt):
        while time.monotonic() < until and service.poll() is None:
            if time.monotonic() >= due:
                due = time.monotonic() + _LOOK_EVERY
                for process in _python_processes(service.pid):
                    seen[process.pid] = process
                run.requests += [_send(url) for url in urls]
            time.sleep(0.05)
    run.processes = list(seen.values())
    run.exit_status = service.poll()


def _python_processes(pid: int) -> Iterator[SeenProcess]:
    """Processes that run Python and have had time to start."""
    with contextlib.suppress(psutil.Error):
        service = psutil.Process(pid)
        for process in (service, *service.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                words = process.cmdline()
                is_old = time.time() - process.create_time() > _SETTLED_AFTER
                is_helper = any("resource_tracker" in word for word in words)
                if is_old and not is_helper and "python" in Path(process.exe()).name:
                    yield SeenProcess(process.pid, " ".join(words)[:100])


def _send(url: str) -> SentRequest:
    trace_id, span_id = os.urandom(16).hex(), os.urandom(8).hex()
    start = time.time_ns()
    headers = {"traceparent": f"00-{trace_id}-{span_id}-01", "user-agent": "clew-doctor"}
    response = request("GET", url, headers=headers)
    return SentRequest(url, trace_id, span_id, start, time.time_ns(), response)


def _reports(directory: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(directory.glob("*.json")):
        with contextlib.suppress(OSError, ValueError):
            yield json.loads(path.read_text())
