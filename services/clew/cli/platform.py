"""The platform as one process: what `clew up`, `clew collect` and `clew serve` start.

This is where concrete things are made and joined; everything else is handed what it needs.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import logging
import os
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import uvicorn

from clew.api import create_app
from clew.cli.settings import Settings, UsageError
from clew.collector import deadletter
from clew.collector.grpc import GrpcReceiver
from clew.collector.http import Receiver
from clew.collector.ledger import Ledger
from clew.collector.limits import InFlight, default_in_flight, default_spool
from clew.collector.loader import Loader
from clew.collector.segment import make_directory
from clew.collector.spool import Spool
from clew.collector.telemetry import Telemetry, into_tables
from clew.storage import SIGNALS, Ingest, Reader, Store, migrate, set_retention

logger = logging.getLogger(__name__)

BACKLOG = 2048
GRACE = 3  # seconds for the requests that are being answered when the process is to stop,
PATIENCE = 2.5  # and for the insert, then for the ledger: all of it within 10


def run(
    settings: Settings, *, collect: bool, serve: bool, report: Callable[[dict[str, str]], None]
) -> None:
    """Serve until SIGTERM or SIGINT; `report` is told the addresses in use once all of it works.

    What was acknowledged is in the spool or in the tables when this returns.
    """
    make_directory(settings.data)
    with _only_one(settings.data), contextlib.closing(Store(settings.dsn)) as store:
        migrate(store)
        set_retention(store, settings.retention)
        with _event_loop() as runner:
            runner.run(_serve(settings, store, collect=collect, serve=serve, report=report))


async def _serve(
    settings: Settings,
    store: Store,
    *,
    collect: bool,
    serve: bool,
    report: Callable[[dict[str, str]], None],
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    endpoints: dict[str, str] = {}
    ingest = Ingest(store)
    running = _Running(Ledger(ingest.enter))
    async with contextlib.AsyncExitStack() as stack:
        if collect:
            endpoints |= await stack.enter_async_context(_collector(settings, ingest, running))
        if serve:
            endpoints["api"] = stack.enter_context(_api(settings, store, running))
        stack.enter_context(_endpoints_file(settings.data, endpoints))
        report(endpoints)
        await stop.wait()
        logger.info("stopping")
    if running.stuck:
        logger.warning("an insert does not end; what it loads is on the disk, for the next start")
        logging.shutdown()
        os._exit(
            0
        )  # the engine's threads would hold up a normal exit for as long as they are stuck


@dataclass
class _Running:
    """What the parts of one process need of each other."""

    ledger: Ledger
    ready: Callable[[], bool] = lambda: True
    stuck: bool = False


@contextlib.asynccontextmanager
async def _collector(
    settings: Settings, ingest: Ingest, running: _Running
) -> AsyncIterator[dict[str, str]]:
    """Receivers, spool and loader; closing answers what is in flight, then seals what is open."""
    ledger = running.ledger
    telemetry = Telemetry(
        ledger, lambda: spool.size(), into_tables(ingest, settings.data / "own-metrics")
    )
    loader = Loader(
        ingest,
        loaded=ledger.loaded,
        inserted=telemetry.inserted,
        dead_letters=settings.data / deadletter.FOLDER,
    )
    spool = Spool(
        settings.data / "spool",
        tuple(SIGNALS),
        loader.offer,
        loader.is_idle,
        settings.spool_limit or default_spool(settings.data),
        ledger.received,
        telemetry.synced,
    )
    running.ready = spool.accepts
    ledger.start()
    loader.start()
    in_flight = InFlight(settings.in_flight_limit or default_in_flight())
    grpc = GrpcReceiver(spool.append, in_flight, ledger)
    listening = _listen(settings.otlp_http, "--otlp-http")
    http = _Server(
        uvicorn.Config(
            Receiver(spool.append, in_flight, ledger),
            http="httptools",
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=GRACE,
            backlog=BACKLOG,
        )
    )
    serving = asyncio.create_task(http.serve([listening]))
    host, port = settings.otlp_grpc
    try:
        try:
            grpc_port = await grpc.start(_host_port(host, port))
        except OSError as error:
            raise UsageError(str(error)) from error
        yield {
            "otlp_http": f"http://{_host_port(*listening.getsockname()[:2])}",
            "otlp_grpc": f"http://{_host_port(host, grpc_port)}",
        }
    finally:
        http.should_exit = True
        await grpc.stop()
        await serving
        await asyncio.to_thread(spool.close)
        running.stuck = not await asyncio.to_thread(loader.close, PATIENCE)
        await asyncio.to_thread(ledger.close, 0.0 if running.stuck else PATIENCE)


@contextlib.contextmanager
def _api(settings: Settings, store: Store, running: _Running) -> Iterator[str]:
    """The REST API, on an event loop of its own: a slow answer never holds up the receivers."""
    reader = Reader(store)
    listening = _listen(settings.api, "--api")
    server = _Server(
        uvicorn.Config(
            create_app(
                reader,
                lambda: running.ready() and reader.answers(),
                running.ledger.pending,
            ),
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=1,
        )
    )
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([listening])), name="api")
    thread.start()
    try:
        yield f"http://{_host_port(*listening.getsockname()[:2])}"
    finally:
        server.should_exit = True
        thread.join()


class _Server(uvicorn.Server):
    """uvicorn's server without its signal handlers: the platform has its own."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _event_loop() -> asyncio.Runner:
    try:
        import uvloop
    except ImportError:
        return asyncio.Runner()
    return asyncio.Runner(loop_factory=uvloop.new_event_loop)


def _listen(address: tuple[str, int], flag: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Accepted connections inherit it; without it an answer waits 40 ms for the client's ACK.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        listening.bind(address)
    except OSError as error:
        listening.close()
        raise UsageError(
            f"{flag}: cannot listen on {_host_port(*address)}: {error.strerror}"
        ) from error
    listening.setblocking(False)
    return listening


def _host_port(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@contextlib.contextmanager
def _endpoints_file(data: Path, endpoints: dict[str, str]) -> Iterator[None]:
    """`<data>/endpoints.json` while the addresses in it are served."""
    path = data / "endpoints.json"
    new = path.with_suffix(".new")
    new.write_text(
        json.dumps({"otlp_http": "", "otlp_grpc": "", "api": "", "clickhouse": ""} | endpoints)
    )
    new.rename(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def _only_one(data: Path) -> Iterator[TextIO]:
    """Hold the data directory: its spool has one owner."""
    with (data / "clew.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            raise UsageError(
                f"{data} is in use by another clew (process {lock.read().strip() or 'unknown'}): "
                "stop it, or choose another --data"
            ) from error
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield lock
