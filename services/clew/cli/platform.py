"""The platform as one process: what `clew up`, `clew collect` and `clew serve` start.

This is where the parts are put together.
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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from clew.cli.memory import release_code
from clew.cli.opening import make_data, only_one, open_store
from clew.cli.parts.alerts import alerts
from clew.cli.parts.analysis import analysis
from clew.cli.parts.control import control
from clew.cli.parts.ingest import ingest
from clew.cli.parts.read import read
from clew.cli.parts.shared import Access, Shared, host_port, listen
from clew.cli.parts.sql_port import sql_port
from clew.cli.servers import raise_file_limit
from clew.cli.settings import Settings, UsageError
from clew.storage import migrate, set_retention
from clew.storage.retention import ttls

logger = logging.getLogger(__name__)

Part = Callable[[Shared], AbstractAsyncContextManager[dict[str, str]]]

# In the order in which they start; they end in the opposite one.
COLLECT: tuple[Part, ...] = (analysis, ingest, alerts, control)
SERVE: tuple[Part, ...] = (read, sql_port, control)
UP: tuple[Part, ...] = (analysis, ingest, read, sql_port, alerts, control)

# The names of the settings that have the addresses on which a part listens.
ADDRESSES: Mapping[Part, tuple[str, ...]] = {
    ingest: ("otlp_http", "otlp_grpc"),
    read: ("api",),
    sql_port: ("clickhouse",),
}


def run(
    settings: Settings, parts: Sequence[Part], report: Callable[[dict[str, str]], None]
) -> None:
    """Serve until SIGTERM or SIGINT. Calls `report` with the addresses in use, by name, once all
    parts work. Raises UsageError, StorageError.

    What was acknowledged is in the spool or in the tables when this returns."""
    _check_addresses(settings, parts)
    access = Access(settings)
    raise_file_limit()
    make_data(settings.data)
    with only_one(settings.data):
        _check_free(settings, parts)
        with contextlib.closing(open_store(settings, wait_for_server=True)) as store:
            migrate(store, ttls=ttls(settings.retention))
            set_retention(store, settings.retention)
            # Who else reads the tables of a server is unknown.
            on_demand = store.embedded and ingest in parts and read in parts
            shared = Shared.create(settings, store, access, on_demand)
            with _event_loop() as runner:
                runner.run(_serve(shared, parts, report))


async def _serve(
    shared: Shared, parts: Sequence[Part], report: Callable[[dict[str, str]], None]
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    endpoints = shared.endpoints
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(shared.registry.watching())
        stack.enter_context(shared.rulebook.watching())
        stack.enter_context(shared.freshness.running())
        shared.events.on_stopping(shared.freshness.close)
        for part in parts:
            endpoints.update(await stack.enter_async_context(part(shared)))
        stack.push_async_callback(asyncio.to_thread, shared.events.stopping)
        stack.enter_context(_endpoints_file(shared.settings.data, endpoints))
        release_code()
        report(endpoints)
        await stop.wait()
        logger.info("stopping")
    if shared.stuck.is_set():
        logger.warning("an insert does not end; what it loads is on the disk, for the next start")
        logging.shutdown()
        # The engine's threads would hold up a normal exit for as long as they are stuck.
        os._exit(0)


def _check_addresses(settings: Settings, parts: Sequence[Part]) -> None:
    """Raises UsageError for an address that others can reach when anybody there would be let in."""
    if settings.api_keys or settings.tls_cert:
        return
    for flag, address in _addresses(settings, parts):
        if not _is_loopback(address[0]):
            raise UsageError(
                f"{flag} {host_port(*address)}: others can reach this "
                "address, and anybody could read or write. Set --api-keys (`clew key` makes "
                "keys), or --tls-cert and --tls-key, or bind to 127.0.0.1"
            )


def _check_free(settings: Settings, parts: Sequence[Part]) -> None:
    """Raises UsageError for an address that is taken, before the seconds that a database takes."""
    for flag, address in _addresses(settings, parts):
        listen(address, flag).close()


def _addresses(settings: Settings, parts: Sequence[Part]) -> Iterator[tuple[str, tuple[str, int]]]:
    """The addresses on which the parts will listen, each with its flag."""
    for name in (name for part in parts for name in ADDRESSES.get(part, ())):
        if address := getattr(settings, name):
            yield f"--{name.replace('_', '-')}", address


def _is_loopback(host: str) -> bool:
    try:
        addresses = socket.getaddrinfo(host, None)
    except (OSError, UnicodeError):
        return False
    return all(ipaddress.ip_address(address[0]).is_loopback for *_, address in addresses)


def _event_loop() -> asyncio.Runner:
    try:
        import uvloop
    except ImportError:
        return asyncio.Runner()
    return asyncio.Runner(loop_factory=uvloop.new_event_loop)


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
