"""ClickHouse over HTTP: an ASGI application in front of the embedded engine's sessions.

It behaves as a server's HTTP interface does: where statement, parameters, settings, format and user
are looked for, which status an error has, what the headers say.
"""

from __future__ import annotations

import asyncio
import logging
import re
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    ExitStack,
    asynccontextmanager,
    contextmanager,
    suppress,
)
from dataclasses import replace
from typing import TypeVar
from urllib.parse import parse_qsl

from clew.access import Authenticator, Principal, Unauthenticated
from clew.clickhouse import inserts, native
from clew.clickhouse.body import BodyMemory, Receive
from clew.clickhouse.query import (
    DEFAULT_DATABASE,
    HttpQuery,
    User,
    check_parameters,
    credentials,
    parse_form,
    reads_of,
    split_statement,
)
from clew.clickhouse.response import AsgiScope, HttpResponse, Send
from clew.storage import (
    WRITE,
    EngineError,
    ErrorCode,
    Session,
    Sessions,
    StorageError,
    StoredItems,
    Summary,
    refusal,
)
from clew.storage.freshness import Freshness

logger = logging.getLogger(__name__)

T = TypeVar("T")

# Who a user is where there are no API keys.
DEFAULT_USER = Principal("default", frozenset(("read",)))

MAX_RUNNING = 4  # statements of all clients that the engine runs at a time
MAX_PER_CLIENT = 8  # statements of one client, waiting or running
# A peer limits its statements itself: these limits are so high that it does not reach them.
PEER_MAX_RUNNING = 16
PEER_MAX_PER_CLIENT = 64
RUN_TIMEOUT = 30.0  # seconds to wait until a statement can run
CLIENT_TIMEOUT = 1.0  # seconds to wait until one of the client's own statements has ended
FIRST_BYTES = 1 << 20  # of an answer, held back until the next chunk: most errors come by then

OK = b"Ok.\n"
NOT_FOUND = (
    "There is no handle {path}\n\nUse / or /ping for health checks.\n"
    "Or /replicas_status for more sophisticated health checks.\n\n"
    "Send queries from your program with POST method or GET /?query=...\n"
)


class Application:
    """The ASGI application.

    sessions      run the statements
    new_segment   returns the id of a new segment, for one insert
    authenticator finds who a user with a password is, which is an API key; without keys there is
                  one user, `default`, who may read; any password is taken
    freshness     what is received and not stored yet; statements wait for it a little
    """

    def __init__(
        self,
        sessions: Sessions,
        new_segment: Callable[[], int],
        authenticator: Authenticator | None = None,
        freshness: Freshness | None = None,
    ) -> None:
        self._sessions = sessions
        self._freshness = freshness or Freshness()
        self._new_segment = new_segment
        self._authenticator = authenticator or Authenticator()
        self._client_pool = _Pool("clickhouse", MAX_RUNNING, MAX_PER_CLIENT)
        self._peer_pool = _Pool("clickhouse-peer", PEER_MAX_RUNNING, PEER_MAX_PER_CLIENT)
        self._client_slots = weakref.WeakValueDictionary[str, asyncio.Semaphore]()
        self._body_memory = BodyMemory()
        self._running: set[Session] = set()
        self._closed = False

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        response = HttpResponse(scope, send, self._sessions.timezone)
        try:
            await self._route(scope, receive, response)
        except EngineError as error:
            await response.send_error(error, self._sessions.version)
        except StorageError as error:
            logger.error("%s %s: %s", scope["method"], scope["path"], error)
            failure = refusal(ErrorCode.UNKNOWN_EXCEPTION, "The engine does not answer.")
            await response.send_error(failure, self._sessions.version)

    def close(self) -> None:
        """Cancel the running statements, and run no more."""
        self._closed = True
        for session in tuple(self._running):
            session.cancel()

    async def _route(self, scope: AsgiScope, receive: Receive, response: HttpResponse) -> None:
        path = scope["path"]
        if path in ("/ping", "/replicas_status"):
            await response.send_text(200, OK)
        elif path != "/":
            await response.send_text(404, NOT_FOUND.format(path=path).encode())
        elif scope["method"] == "OPTIONS":
            await response.send_text(204, b"")
        elif scope["method"] in ("GET", "HEAD") and not scope["query_string"]:
            await response.send_text(200, OK)
        elif scope["method"] not in ("GET", "HEAD", "POST", "PUT"):
            await response.send_text(501, f"Unsupported method {scope['method']}\n".encode())
        else:
            query = self._parse(scope, response)
            async with self._client_slot(query.user):
                await self._handle(query, receive, response)

    def _parse(self, scope: AsgiScope, response: HttpResponse) -> HttpQuery:
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        parameters = dict(
            parse_qsl(
                scope["query_string"].decode("latin-1"), keep_blank_values=True, errors="replace"
            )
        )
        query_id = parameters.get("query_id", "")
        if re.fullmatch(r"[\x21-\x7e]{1,128}", query_id):
            response.query_id = query_id
        user = self._authenticate(scope, parameters, headers)
        check_parameters(parameters)
        return HttpQuery(user, response.query_id, parameters, headers, scope["method"])

    def _authenticate(
        self, scope: AsgiScope, parameters: Mapping[str, str], headers: Mapping[str, str]
    ) -> User:
        name, key = credentials(parameters, headers)
        if self._authenticator.has_keys:
            with suppress(Unauthenticated):
                return User(name, self._authenticator.authenticate(key, name))
        elif name == "default":  # whose password is as good as any, as on a new server
            return User(str((scope["client"] or ("",))[0]), DEFAULT_USER)
        if (name, key) == ("default", ""):
            raise refusal(
                ErrorCode.REQUIRED_PASSWORD,
                "default: Authentication failed: password is required.",
            )
        raise refusal(
            ErrorCode.AUTHENTICATION_FAILED,
            f"{name}: Authentication failed: password is incorrect, or there is no user with such "
            "name.",
        )

    async def _handle(self, query: HttpQuery, receive: Receive, response: HttpResponse) -> None:
        with self._body_memory.body() as body:
            text = await body.read(receive, query)
            content_type = query.headers.get("content-type", "")
            if content_type.startswith("multipart/"):
                # Drivers send parameters as a form when they are too long for a URL.
                fields = parse_form(text, content_type)
                check_parameters(fields)
                query, text = replace(query, parameters={**query.parameters, **fields}), b""
            statement, rows = split_statement(query.get("query").encode(), text)
            is_insert = inserts.is_insert(statement)
            if is_insert and not query.user.is_peer:
                await self._insert(query, statement, rows, response)
                return
            if is_insert and inserts.has_rows(statement):
                await self._insert_peer_rows(query, statement, rows, receive, response)
                return
        if not statement.strip():
            raise refusal(ErrorCode.SYNTAX_ERROR, "Syntax error: the query is empty.")
        sql = statement.decode("utf-8", "replace")
        revision = query.get("client_protocol_version")
        if revision.isdecimal() and native.HELLO_QUERY.fullmatch(sql):
            block = native.hello_block(
                self._sessions.version, self._sessions.timezone, int(revision)
            )
            await response.send_whole(query, [block], "Native", Summary())
            return
        reads = reads_of(sql)
        if reads.signals:
            is_urgent = bool(query.get("wait"))
            pending = await self._freshness.catch_up(reads, query.wait, is_urgent)
            response.pending = pending.items
        async with self._run_slot(query.user):
            await self._run(query, sql, receive, response)

    async def _run(
        self, query: HttpQuery, sql: str, receive: Receive, response: HttpResponse
    ) -> None:
        resources, threads = ExitStack(), self._pool(query.user).threads
        try:
            session = await _in_thread(
                threads, lambda: resources.enter_context(self._open(query, sql))
            )
            self._running.add(session)
            resources.callback(self._running.discard, session)
            if self._closed:
                raise refusal(ErrorCode.QUERY_WAS_CANCELLED, "clew is stopping.")
            if session.write_kind:
                await self._write(query, session, receive, response)
                return
            chunks = session.read(query.format)
            resources.callback(chunks.close)  # type: ignore[attr-defined]
            watcher = asyncio.create_task(_cancel_on_disconnect(receive, session, threads))
            try:
                await self._send_answer(query, chunks, session, response)
            finally:
                watcher.cancel()
        finally:
            await _in_thread(threads, resources.close)

    def _open(self, query: HttpQuery, sql: str) -> AbstractContextManager[Session]:
        return self._sessions.open(
            sql,
            role=query.user.role,
            database=query.database,
            settings=query.settings,
            parameters=query.bound_parameters,
        )

    async def _send_answer(
        self, query: HttpQuery, chunks: Iterator[bytes], session: Session, response: HttpResponse
    ) -> None:
        threads = self._pool(query.user).threads
        format_name = session.format or query.format
        first: list[bytes] = []

        async def next_chunk() -> bytes | None:
            return await _in_thread(threads, lambda: next(chunks, None))

        while query.waits_for_end or sum(map(len, first)) < FIRST_BYTES:
            chunk = await next_chunk()
            if chunk is None:
                await response.send_whole(query, first, format_name, session.summary)
                return
            first.append(chunk)
        await response.begin(query, format_name, session.summary)
        try:
            for chunk in first:
                await response.send_piece(chunk)
            first.clear()
            while (chunk := await next_chunk()) is not None:
                await response.send_piece(chunk)
            await response.end()
        except EngineError as error:
            await response.abort(error, self._sessions.version)
        except TimeoutError:
            await _in_thread(threads, session.cancel)

    async def _write(
        self, query: HttpQuery, session: Session, receive: Receive, response: HttpResponse
    ) -> None:
        """Run a peer's statement that writes. Once begun it continues without its client, as on a
        server."""
        with _connection_state(receive) as is_connected:
            await _in_thread(self._peer_pool.threads, lambda: session.write(is_connected))
        await response.send_whole(query, [], "", session.summary)

    async def _insert(
        self, query: HttpQuery, statement: bytes, rows: bytes, response: HttpResponse
    ) -> None:
        if query.method in ("GET", "HEAD"):
            raise refusal(
                ErrorCode.READONLY,
                "Cannot execute query in readonly mode. For queries over HTTP, method GET implies "
                "readonly. You should use method POST for modifying queries.",
            )
        head = inserts.parse_head(statement)
        database = head.database or query.database
        if database != DEFAULT_DATABASE or not query.user.principal.may("ingest"):
            raise refusal(
                ErrorCode.ACCESS_DENIED,
                f"{query.user.name}: Not enough privileges. To execute this query, it's necessary "
                f"to have the grant INSERT ON {database}.{head.insert.table}.",
            )
        settings = query.engine_settings(query.settings | head.settings)
        summary = Summary()

        def insert() -> Mapping[str, StoredItems]:
            return self._sessions.insert(
                head.insert,
                (statement[head.length :], rows),
                self._new_segment(),
                role=WRITE,
                settings=settings,
            )

        async with self._run_slot(query.user):
            stored = await _in_thread(self._client_pool.threads, insert)
        summary.written_rows = sum(count.items for count in stored.values())
        summary.written_bytes = len(statement) - head.length + len(rows)
        await response.send_whole(query, [], "", summary)

    async def _insert_peer_rows(
        self,
        query: HttpQuery,
        statement: bytes,
        rows: bytes,
        receive: Receive,
        response: HttpResponse,
    ) -> None:
        head = inserts.parse_head(statement)
        if (head.database or query.database) != DEFAULT_DATABASE:
            raise refusal(
                ErrorCode.ACCESS_DENIED,
                f"Not enough privileges: only {DEFAULT_DATABASE} can be written.",
            )
        body = (statement[head.length :], rows)
        settings = query.engine_settings(query.settings | head.settings)
        async with self._run_slot(query.user):
            with _connection_state(receive) as is_connected:
                await _in_thread(
                    self._peer_pool.threads,
                    lambda: self._sessions.insert_peer_rows(
                        head.insert, body, settings, is_connected
                    ),
                )
        await response.send_whole(query, [], "", Summary())

    def _pool(self, user: User) -> _Pool:
        return self._peer_pool if user.is_peer else self._client_pool

    def _client_slot(self, user: User) -> AbstractAsyncContextManager[None]:
        """One of the statements that a client may have. A client that writes may wait for it
        longer: the OpenTelemetry Collector's exporter inserts into several tables at a time, and
        when one insert is refused it sends the others again too."""
        maximum = self._pool(user).max_per_client
        slots = self._client_slots.setdefault(user.name, asyncio.Semaphore(maximum))
        seconds = RUN_TIMEOUT if user.principal.may("ingest") else CLIENT_TIMEOUT
        return _slot(slots, seconds, f"{maximum} of {user.name} are running or waiting")

    def _run_slot(self, user: User) -> AbstractAsyncContextManager[None]:
        """One of the statements that the engine runs at a time."""
        pool = self._pool(user)
        return _slot(pool.slots, RUN_TIMEOUT, f"{pool.max_running} run at a time")


class _Pool:
    """Threads that run statements, and limits on how many there are at a time. Two threads more
    than statements can cancel them meanwhile."""

    def __init__(self, name: str, max_running: int, max_per_client: int) -> None:
        self.max_running = max_running
        self.max_per_client = max_per_client
        self.threads = ThreadPoolExecutor(max_running + 2, thread_name_prefix=name)
        self.slots = asyncio.Semaphore(max_running)


@asynccontextmanager
async def _slot(slots: asyncio.Semaphore, seconds: float, reason: str) -> AsyncIterator[None]:
    """Raises EngineError when there is no free slot within so many `seconds`."""
    try:
        await asyncio.wait_for(slots.acquire(), seconds)
    except TimeoutError:
        raise refusal(
            ErrorCode.TOO_MANY_SIMULTANEOUS_QUERIES,
            f"Too many simultaneous queries: no place within {seconds:g} s, {reason}.",
        ) from None
    try:
        yield
    finally:
        slots.release()


async def _in_thread(threads: ThreadPoolExecutor, call: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(threads, call)


@contextmanager
def _connection_state(receive: Receive) -> Iterator[Callable[[], bool]]:
    """A function, for any thread, that says whether the client is still connected."""
    disconnected = threading.Event()

    async def watch() -> None:
        await _disconnect(receive)
        disconnected.set()

    watcher = asyncio.create_task(watch())
    try:
        yield lambda: not disconnected.is_set()
    finally:
        watcher.cancel()


async def _cancel_on_disconnect(
    receive: Receive, session: Session, threads: ThreadPoolExecutor
) -> None:
    await _disconnect(receive)
    await _in_thread(threads, session.cancel)


async def _disconnect(receive: Receive) -> None:
    """Wait until the client disconnects."""
    while (await receive())["type"] != "http.disconnect":
        pass
