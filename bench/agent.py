"""What the agent costs a service: CPU time of a request and of a start, latency, memory.

    python bench/agent.py [--requests 4000] [--rounds 3] [--only TEXT]
                          [--distro BIN] [--ddtrace BIN]

Services of the extra `dev` run as they are (bare), under `clew run`, and under clew with 1 % of the
traces sampled, with and without metrics; with `--distro` or `--ddtrace`, a directory with
`opentelemetry-instrument` or `ddtrace-run` and the same libraries, under those as well. `--only`
takes the services whose label has the text. The modes take turns, and the median of the rounds is
printed. Exporters send to a receiver in this process, which reads and drops; its CPU
time is not counted. Ratios carry from machine to machine, the figures themselves do not.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

WARM_UP = 300
TICKS = os.sysconf("SC_CLK_TCK")
LOGS = """
import logging
log = logging.getLogger("shop")
logging.basicConfig(level=logging.INFO, filename="shop.log")
"""
FASTAPI = f"""{LOGS}
from fastapi import FastAPI
app = FastAPI()

@app.get("/items/{{number}}")
async def item(number: int):
    log.info("item %s", number)
    log.info("done")
    return {{"number": number}}
"""
QUIET = FASTAPI.replace('    log.info("item %s", number)\n    log.info("done")\n', "")
FLASK = f"""{LOGS}
from flask import Flask
app = Flask(__name__)

@app.get("/items/<int:number>")
def item(number):
    log.info("item %s", number)
    log.info("done")
    return {{"number": number}}
"""
UVICORN = "-m uvicorn shop:app --no-access-log --port {port}"
GUNICORN = "-m gunicorn -w 1 --threads 1 -b 127.0.0.1:{port} --keep-alive 60 -k gthread shop:app"
SERVICES = {
    "FastAPI on uvicorn, two log records": (FASTAPI, UVICORN),
    "FastAPI on uvicorn, no log records": (QUIET, UVICORN),
    "Flask on gunicorn, two log records": (FLASK, GUNICORN),
}


@dataclass(frozen=True)
class Mode:
    """prefix: what stands before the command; python: of the environment that it runs in."""

    name: str
    prefix: tuple[str, ...]
    environment: dict[str, str]
    python: str = sys.executable


@dataclass(frozen=True)
class Cost:
    """Of one run: microseconds of CPU a request, milliseconds of latency, bytes of memory, seconds
    of CPU until it listens."""

    request: float
    p50: float
    p99: float
    memory: float
    start: float


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--requests", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--distro", type=Path)
    parser.add_argument("--ddtrace", type=Path)
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    with dropping() as endpoint:
        modes = list(modes_of(endpoint, arguments.distro, arguments.ddtrace))
        print("| service | mode | CPU a request, µs | over bare | p50 / p99, ms | MB | start, s |")
        print("|-|-|-:|-:|-:|-:|-:|")
        services = {label: run for label, run in SERVICES.items() if arguments.only in label}
        for label, (app, command) in services.items():
            costs: dict[str, list[Cost]] = {mode.name: [] for mode in modes}
            for _ in range(arguments.rounds):
                for mode in modes:
                    costs[mode.name].append(measure(app, command, mode, arguments.requests))
            bare = statistics.median(cost.request for cost in costs["bare"])
            for name, runs in costs.items():
                show(label, name, runs, bare)
        print(f"\nstart of `python -c pass`: {starts(modes, arguments.rounds)}")


def modes_of(endpoint: str, distro: Path | None, ddtrace: Path | None) -> Iterator[Mode]:
    yield Mode("bare", (), {})
    clew = (sys.executable, "-m", "clew.cli", "run", "--endpoint", endpoint, "--")
    yield Mode("clew run", clew, {})
    sampling = {
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": "0.01",
    }
    yield Mode("clew run, 1 % sampled", clew, sampling)
    unmeasured = {**sampling, "OTEL_METRICS_EXPORTER": "none"}
    yield Mode("clew run, 1 % sampled, no metrics", clew, unmeasured)
    if distro is not None:
        exporting = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_LOGS_EXPORTER": "otlp",
        }
        program = (str(distro / "opentelemetry-instrument"),)
        yield Mode("opentelemetry-distro", program, exporting, str(distro / "python"))
    if ddtrace is not None:
        agent = {"DD_TRACE_AGENT_URL": endpoint, "DD_LOGS_INJECTION": "true"}
        program = (str(ddtrace / "ddtrace-run"),)
        yield Mode("ddtrace, logs injected", program, agent, str(ddtrace / "python"))


def measure(app: str, command: str, mode: Mode, requests: int) -> Cost:
    with tempfile.TemporaryDirectory() as name, socket.socket() as probe:
        Path(name, "shop.py").write_text(app)
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        argv = [*mode.prefix, mode.python, *command.format(port=port).split()]
        process = subprocess.Popen(
            argv, cwd=name, env=os.environ | mode.environment,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            wait_for(port)
            start = cpu(process.pid)
            ask(port, WARM_UP)
            before = cpu(process.pid)
            times = sorted(ask(port, requests))
            time.sleep(1.5)  # what was recorded is exported
            used = cpu(process.pid) - before
            return Cost(
                used / requests * 1e6, times[len(times) // 2] * 1e3,
                times[int(len(times) * 0.99)] * 1e3, memory(process.pid), start,
            )  # fmt: skip
        finally:
            process.terminate()
            process.wait(20)


def ask(port: int, requests: int) -> list[float]:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    times = []
    for number in range(requests):
        began = time.perf_counter()
        connection.request("GET", f"/items/{number}")
        response = connection.getresponse()
        response.read()
        times.append(time.perf_counter() - began)
        assert response.status == 200, response.status
    connection.close()
    return times


def wait_for(port: int) -> None:
    give_up = time.monotonic() + 60
    while True:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port)).close()
            return
        assert time.monotonic() < give_up, "the service did not start"
        time.sleep(0.02)


def tree(pid: int) -> Iterator[int]:
    yield pid
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the thread has ended
            for child in (task / "children").read_text().split():
                yield from tree(int(child))


def cpu(pid: int) -> float:
    total = 0.0
    for process in tree(pid):
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        total += (int(fields[11]) + int(fields[12])) / TICKS
    return total


def memory(pid: int) -> float:
    total = 0.0
    for process in tree(pid):
        status = Path(f"/proc/{process}/status").read_text()
        total += float(status.split("VmRSS:")[1].split()[0]) / 1024
    return total


def starts(modes: list[Mode], rounds: int) -> str:
    texts = []
    for mode in modes:
        times = []
        for _ in range(2 * rounds):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run(
                [*mode.prefix, mode.python, "-c", "pass"], env=os.environ | mode.environment,
                stderr=subprocess.DEVNULL, check=True,
            )  # fmt: skip
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        texts.append(f"{mode.name} {min(times):.2f} s")
    return ", ".join(texts)


def show(label: str, mode: str, runs: list[Cost], bare: float) -> None:
    def median(name: str) -> float:
        return float(statistics.median(getattr(run, name) for run in runs))

    print(
        f"| {label} | {mode} | {median('request'):.0f} | {median('request') - bare:+.0f} "
        f"| {median('p50'):.2f} / {median('p99'):.2f} | {median('memory'):.0f} "
        f"| {median('start'):.2f} |",
        flush=True,
    )


@contextlib.contextmanager
def dropping() -> Iterator[str]:
    """A receiver that reads every request and drops it, as long as the context lasts."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        do_PUT = do_GET = do_POST

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


if __name__ == "__main__":
    main()
