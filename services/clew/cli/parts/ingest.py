"""OTLP in: receivers, spool, loader and ledger; and the guard of the database's size."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from clew.analysis import RulesAnswer
from clew.background import Stop, Worker
from clew.cli.parts.shared import Shared, host_port, listen
from clew.cli.servers import Server
from clew.cli.settings import Settings, UsageError
from clew.collector import deadletter
from clew.collector.grpc import GrpcReceiver
from clew.collector.http import Receiver
from clew.collector.ledger import Ledger
from clew.collector.limits import InFlight, default_in_flight_limit, default_spool_limit
from clew.collector.loader import Loader
from clew.collector.redacting import Append, Redactor, redacting
from clew.collector.segment import Segment
from clew.collector.spool import SEGMENT_AGE, Spool
from clew.collector.statsd import StatsdReceiver
from clew.collector.telemetry import Telemetry, metrics_store
from clew.storage import SIGNALS, Guard, Ingest, LedgerRow, Limit, StoredItems, default_limit
from clew.storage.retention import CHECK_EVERY

# Seconds. All of it within 10.
GRACE = 3  # for the requests that are being answered when the process is to stop
PATIENCE = 2.5  # for the inserts that are under way, then for the ledger
DRAIN = 1.5  # of it for the inserts of what was just sealed
QUIET_AGE = 30.0  # of a segment, while reads ask for what they need
GUARD_PATIENCE = 1.0  # a drop that is cut short is done again by the next check


@dataclass(frozen=True)
class Pipeline:
    """From a request's bytes to the tables. As a Source it says what is not in them yet."""

    spool: Spool
    loader: Loader
    ledger: Ledger
    telemetry: Telemetry

    def accepts(self) -> bool:
        return self.spool.accepts()

    def pending(self) -> list[LedgerRow]:
        return self.ledger.pending()

    def pending_segments(self) -> list[LedgerRow]:
        return self.ledger.pending_segments()

    def seal(self, signal: str, segment: int) -> None:
        self.spool.seal(signal, segment)

    def is_behind(self) -> bool:
        return self.loader.is_behind()

    def start(self) -> None:
        self.ledger.start()
        self.loader.start()

    def close(self) -> bool:
        """Seal what is open, load it if that is a matter of moments, and enter it into the ledger;
        whether the inserts ended in time. What was acknowledged is on the disk either way."""
        self.spool.close()
        self.telemetry.close()
        ended = self.loader.close(PATIENCE, DRAIN)
        self.ledger.close(PATIENCE if ended else 0.0)
        return ended


@contextlib.asynccontextmanager
async def ingest(shared: Shared) -> AsyncIterator[dict[str, str]]:
    """Take OTLP in over HTTP and gRPC, while this is entered."""
    settings, access = shared.settings, shared.access
    listening = listen(settings.otlp_http, "--otlp-http")
    pipeline = _pipeline(shared)
    shared.freshness.register(pipeline)
    shared.pauses.register(pipeline.loader)
    in_flight = InFlight(settings.in_flight_limit or default_in_flight_limit())
    append: Append = pipeline.spool.append
    ledger = pipeline.ledger
    if settings.redact is not None:
        append = redacting(append, Redactor(settings.redact), ledger)
    grpc = GrpcReceiver(append, in_flight, ledger, access.authenticator)
    receiver = Receiver(
        append,
        in_flight,
        ledger,
        access.authenticator,
        settings.cors_origins,
        pipeline.accepts,
        settings.cors_headers,
        RulesAnswer(shared.registry.current),
    )
    guarded = access.guarded(receiver, settings.otlp_http, settings.cors_origins)
    http = Server(guarded, access.certificate, GRACE)
    pipeline.start()
    serving = asyncio.create_task(http.serve([listening]))
    statsd = StatsdReceiver(append, settings.statsd_service, ledger)
    try:
        grpc_port = await _start(grpc, shared)
        addresses = await _start_statsd(statsd, settings)
        with _guard(shared):
            yield {
                "otlp_http": access.url(*listening.getsockname()[:2]),
                "otlp_grpc": access.url(settings.otlp_grpc[0], grpc_port),
                **addresses,
            }
    finally:
        http.stop()
        await grpc.stop()
        await statsd.stop()
        await serving
        if not await asyncio.to_thread(pipeline.close):
            shared.stuck.set()


def _pipeline(shared: Shared) -> Pipeline:
    settings, events = shared.settings, shared.events
    sink = Ingest(shared.store)
    ledger = Ledger(sink.write_ledger)
    telemetry = Telemetry(
        ledger, lambda: spool.size(), metrics_store(sink, settings.data / "own-metrics")
    )

    def on_loaded(segment: Segment, stored: Mapping[str, StoredItems]) -> None:
        events.inserted(segment.signal)  # first: what is not pending was reported
        ledger.add_loaded(segment, stored)

    loader = Loader(
        sink,
        on_loaded=on_loaded,
        on_inserted=telemetry.record_insert,
        dead_letters=settings.data / deadletter.FOLDER,
        is_read=shared.freshness.is_read,
    )
    spool = Spool(
        settings.data / "spool",
        tuple(SIGNALS),
        loader.offer,
        loader.is_idle,
        settings.spool_limit or default_spool_limit(settings.data),
        ledger.add_received,
        telemetry.record_sync,
        QUIET_AGE if shared.loads_on_demand else SEGMENT_AGE,
    )
    return Pipeline(spool, loader, ledger, telemetry)


async def _start(grpc: GrpcReceiver, shared: Shared) -> int:
    certificate = shared.access.certificate
    credentials = certificate.for_grpc() if certificate else None
    try:
        return await grpc.start(host_port(*shared.settings.otlp_grpc), credentials)
    except OSError as error:
        raise UsageError(f"--otlp-grpc: {error}") from error


async def _start_statsd(statsd: StatsdReceiver, settings: Settings) -> dict[str, str]:
    """Bind the sockets of --statsd and read from them; gives what the first address is."""
    datagrams, streams, endpoints = [], [], []
    for address in settings.statsd:
        try:
            if isinstance(address, Path):
                if address.is_socket():
                    address.unlink()  # of a clew that was killed
                receiving = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
                receiving.bind(str(address))
                endpoints.append(f"unix:{address}")
            else:
                listening = listen(address, "--statsd")
                streams.append(listening)
                host, port = listening.getsockname()[:2]
                receiving = socket.socket(listening.family, socket.SOCK_DGRAM)
                receiving.bind((host, port))
                endpoints.append(f"udp://{host_port(host, port)}")
        except OSError as error:
            raise UsageError(f"--statsd {address}: {error}") from error
        datagrams.append(receiving)
    if not endpoints:
        return {}
    await statsd.start(datagrams, streams)
    return {"statsd": endpoints[0]}


@contextlib.contextmanager
def _guard(shared: Shared) -> Iterator[None]:
    """Keep the database below its limit."""
    limit = _database_limit(shared)
    if limit is None:
        yield
        return
    guard = Guard(shared.store, limit, shared.pauses.paused, shared.events.shortened)

    def check(_: Stop) -> float:
        return guard.check()

    failure = "the size of the database cannot be kept for now"
    worker = Worker("guard", check, failure, pauses=(CHECK_EVERY, CHECK_EVERY))
    with worker.running(GUARD_PATIENCE):
        yield


def _database_limit(shared: Shared) -> Limit | None:
    settings: Settings = shared.settings
    if settings.database_limit is None:
        return default_limit(shared.store)
    return Limit(settings.database_limit)
