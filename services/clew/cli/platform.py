"""The platform as one process: what `clew up`, `clew collect` and `clew serve` start.

This is where concrete things are made and joined; everything else is handed what it needs.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import logging
import os
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

from clew.analysis import Occurrences, Registry
from clew.analysis.traces.settler import Settler
from clew.api import create_app
from clew.cli import backfill, backup, control
from clew.cli.keys import Keys
from clew.cli.opening import make_data, only_one, open_store
from clew.cli.servers import BACKLOG, Certificate, Server, raise_file_limit
from clew.cli.settings import Settings, UsageError
from clew.clickhouse import Application as ClickHouse
from clew.collector import deadletter
from clew.collector.grpc import GrpcReceiver
from clew.collector.http import Receiver
from clew.collector.ledger import Ledger
from clew.collector.limits import InFlight, default_in_flight, default_spool
from clew.collector.loader import Loader
from clew.collector.segment import Segment
from clew.collector.spool import Ids, Spool
from clew.collector.telemetry import Telemetry, into_tables
from clew.storage import (
    SIGNALS,
    Guard,
    Ingest,
    Limit,
    Reader,
    Sessions,
    Store,
    Stored,
    default_limit,
    migrate,
    set_retention,
)

logger = logging.getLogger(__name__)

GRACE = 3  # seconds for the requests that are being answered when the process is to stop,
PATIENCE = 2.5  # and for the insert, then for the ledger: all of it within 10
SETTLER_PATIENCE = 0.5  # it was told to end before all that


def run(
    settings: Settings, *, collect: bool, serve: bool, report: Callable[[dict[str, str]], None]
) -> None:
    """Serve until SIGTERM or SIGINT; `report` is told the addresses in use once all of it works.

    What was acknowledged is in the spool or in the tables when this returns.
    """
    _check_doors(settings, collect=collect, serve=serve)
    access = _Access(settings)
    raise_file_limit()
    make_data(settings.data)
    with (
        only_one(settings.data),
        contextlib.closing(open_store(settings, patient=True)) as store,
    ):
        migrate(store)
        set_retention(store, settings.retention)
        registry = Registry(store, settings.transactions)
        with _event_loop() as runner:
            running = _Running(
                Ledger(Ingest(store).enter),
                access,
                registry,
                Occurrences(store, registry.definitions),
            )
            runner.run(
                _serve(settings, store, running, collect=collect, serve=serve, report=report)
            )


async def _serve(
    settings: Settings,
    store: Store,
    running: _Running,
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
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(running.registry.watching())
        if collect:
            endpoints |= await stack.enter_async_context(_collector(settings, store, running))
        if serve:
            endpoints["api"] = stack.enter_context(_api(settings, store, running))
            if settings.clickhouse and store.embedded:
                address = stack.enter_context(_clickhouse(settings.clickhouse, store, running))
                endpoints["clickhouse"] = address
        if store.embedded:
            answers = {
                "backup": backup.answering(store, running.paused),
                "backfill": backfill.answering(running.occurrences, running.registry),
            }
            await stack.enter_async_context(control.serve(settings.data, answers))
        stack.enter_context(_endpoints_file(settings.data, endpoints))
        report(endpoints)
        await stop.wait()
        logger.info("stopping")
    if running.stuck:
        logger.warning("an insert does not end; what it loads is on the disk, for the next start")
        logging.shutdown()
        # The engine's threads would hold up a normal exit for as long as they are stuck.
        os._exit(0)


@dataclass
class _Running:
    """What the parts of one process need of each other."""

    ledger: Ledger
    access: _Access
    registry: Registry
    occurrences: Occurrences
    ready: Callable[[], bool] = lambda: True
    paused: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext
    inserted: Callable[[str], None] = lambda signal: None
    stuck: bool = False


class _Access:
    """What guards the addresses: the certificate and the keys of the settings, if there are any."""

    def __init__(self, settings: Settings) -> None:
        self.certificate = None
        if settings.tls_cert and settings.tls_key:
            self.certificate = Certificate(settings.tls_cert, settings.tls_key)
        elif settings.tls_cert or settings.tls_key:
            raise UsageError("--tls-cert and --tls-key: TLS needs both")
        self._keys = Keys(settings.api_keys) if settings.api_keys else None

    def admit(self, scope: str) -> Callable[[str], HTTPStatus] | None:
        return partial(self._keys.check, scope=scope) if self._keys else None

    @property
    def scopes(self) -> Callable[[str, str], frozenset[str] | None] | None:
        return self._keys.scopes if self._keys else None

    @property
    def check(self) -> Callable[[str, str], HTTPStatus] | None:
        return self._keys.check if self._keys else None

    def url(self, host: str, port: int) -> str:
        return f"http{'s' if self.certificate else ''}://{_host_port(host, port)}"


def _check_doors(settings: Settings, *, collect: bool, serve: bool) -> None:
    """Raises UsageError for an address that others can reach when anybody there would be let in."""
    if settings.api_keys or settings.tls_cert:
        return
    for name in ("otlp_http", "otlp_grpc") * collect + ("api", "clickhouse") * serve:
        host, port = getattr(settings, name) or ("127.0.0.1", 0)
        if not _is_loopback(host):
            raise UsageError(
                f"--{name.replace('_', '-')} {_host_port(host, port)}: others can reach this "
                "address, and anybody could read or write. Set --api-keys (`clew key` makes "
                "keys), or --tls-cert and --tls-key, or bind to 127.0.0.1"
            )


def _is_loopback(host: str) -> bool:
    try:
        found = socket.getaddrinfo(host, None)
    except (OSError, UnicodeError):
        return False
    return all(ipaddress.ip_address(address[0]).is_loopback for *_, address in found)


@contextlib.asynccontextmanager
async def _collector(
    settings: Settings, store: Store, running: _Running
) -> AsyncIterator[dict[str, str]]:
    """Receivers, spool and loader; closing answers what is in flight, then seals what is open."""
    listening = _listen(settings.otlp_http, "--otlp-http")
    _listen(settings.otlp_grpc, "--otlp-grpc").close()  # gRPC would not say what is wrong with it
    ledger = running.ledger
    ingest = Ingest(store)
    telemetry = Telemetry(
        ledger, lambda: spool.size(), into_tables(ingest, settings.data / "own-metrics")
    )
    settler = Settler(store, running.occurrences)

    def loaded(segment: Segment, stored: Mapping[str, Stored]) -> None:
        ledger.loaded(segment, stored)
        inserted(segment.signal)

    def inserted(signal: str) -> None:
        if signal in ("traces", "logs"):
            settler.wake()

    @contextlib.contextmanager
    def paused(settled_within: float | None = None) -> Iterator[None]:
        with loader.paused(settled_within), settler.paused(), store.writing:
            yield

    loader = Loader(
        ingest,
        loaded=loaded,
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
    running.inserted = inserted
    running.paused = lambda: paused(settled_within=backup.SETTLED_WITHIN)
    ledger.start()
    loader.start()
    settler.start()
    in_flight = InFlight(settings.in_flight_limit or default_in_flight())
    access = running.access
    admit = access.admit("ingest")
    grpc = GrpcReceiver(spool.append, in_flight, ledger, admit)
    receiver = Receiver(
        spool.append, in_flight, ledger, admit, settings.cors_origins, spool.accepts
    )
    http = Server(receiver, access.certificate, GRACE)
    serving = asyncio.create_task(http.serve([listening]))
    host, port = settings.otlp_grpc
    try:
        try:
            credentials = access.certificate.for_grpc() if access.certificate else None
            grpc_port = await grpc.start(_host_port(host, port), credentials)
        except OSError as error:
            raise UsageError(f"--otlp-grpc: {error}") from error
        with _guard(settings, store, paused, settler.again):
            yield {
                "otlp_http": access.url(*listening.getsockname()[:2]),
                "otlp_grpc": access.url(host, grpc_port),
            }
    finally:
        http.should_exit = True
        await asyncio.to_thread(settler.stop)
        await grpc.stop()
        await serving
        await asyncio.to_thread(spool.close)
        telemetry.close()
        running.stuck = not await asyncio.to_thread(loader.close, PATIENCE)
        running.stuck |= not await asyncio.to_thread(settler.close, SETTLER_PATIENCE)
        await asyncio.to_thread(ledger.close, 0.0 if running.stuck else PATIENCE)


def _guard(
    settings: Settings,
    store: Store,
    paused: Callable[[], contextlib.AbstractContextManager[object]],
    shortened: Callable[[Sequence[str]], None],
) -> contextlib.AbstractContextManager[None]:
    """What keeps the database below its limit."""
    given = settings.database_limit
    limit = default_limit(store) if given is None else Limit(given)
    return Guard(store, limit, paused, shortened).running() if limit else contextlib.nullcontext()


@contextlib.contextmanager
def _api(settings: Settings, store: Store, running: _Running) -> Iterator[str]:
    """The REST API, on an event loop of its own: a slow answer never holds up the receivers."""
    reader = Reader(store)
    listening = _listen(settings.api, "--api")
    app = create_app(
        reader,
        lambda: running.ready() and reader.answers(),
        running.ledger.pending,
        running.access.check,
        running.registry,
    )
    with _served(app, listening, running.access, "api") as address:
        yield address


@contextlib.contextmanager
def _clickhouse(address: tuple[str, int], store: Store, running: _Running) -> Iterator[str]:
    """ClickHouse over HTTP, on an event loop of its own too."""
    listening = _listen(address, "--clickhouse")
    sessions = Sessions(store, lambda signal: running.inserted(signal))
    app = ClickHouse(sessions, Ids().next, running.access.scopes)
    with _served(app, listening, running.access, "clickhouse") as url:
        try:
            yield url
        finally:
            app.close()


@contextlib.contextmanager
def _served(app: Any, listening: socket.socket, access: _Access, name: str) -> Iterator[str]:
    """A thread that serves an application; its URL."""
    server = Server(app, access.certificate, 1)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([listening])), name=name)
    thread.start()
    try:
        yield access.url(*listening.getsockname()[:2])
    finally:
        server.should_exit = True
        thread.join()


def _event_loop() -> asyncio.Runner:
    try:
        import uvloop
    except ImportError:
        return asyncio.Runner()
    return asyncio.Runner(loop_factory=uvloop.new_event_loop)


def _listen(address: tuple[str, int], flag: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with contextlib.ExitStack() as opened:
        try:
            listening = opened.enter_context(socket.socket(family, socket.SOCK_STREAM))
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            # Connections inherit it; without it an answer waits 40 ms for the client's ACK.
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            listening.bind(address)
            listening.listen(BACKLOG)  # two sockets may have one address until one of them listens
        except OSError as error:
            raise UsageError(
                f"{flag}: cannot listen on {_host_port(*address)}: {error.strerror}"
            ) from error
        opened.pop_all()
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
