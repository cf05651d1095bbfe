"""ClickHouse over HTTP: an ASGI application in front of the embedded engine's sessions.

What a client meets is what a server's HTTP interface does: where statement, parameters, settings,
format and user are looked for, which status an error has, what the headers say.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import threading
import uuid
import weakref
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    MutableMapping,
)
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from clew.clickhouse import encodings, inserts, native
from clew.clickhouse.asked import (
    DEFAULT_DATABASE,
    MOST_BODY,
    OF_HTTP,
    Asked,
    User,
    check_parameters,
    credentials,
    divided,
    form,
)
from clew.clickhouse.replies import REQUIRED_PASSWORD, Reply, Scope, Send
from clew.storage import (
    WRITE,
    EngineError,
    Session,
    Sessions,
    StorageError,
    Stored,
    Summary,
)

logger = logging.getLogger(__name__)

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
T = TypeVar("T")

# What a user with this name and key may do, by API key scopes; None for nobody.
Admit = Callable[[str, str], frozenset[str] | None]

# Another clew's own limits hold for it; these are so many that it meets none.
OWN_PER_CLIENT = 64
OWN_AT_ONCE = 16
PER_CLIENT = 8  # statements of one client, waiting or running
AT_ONCE = 4  # statements of all clients that the engine works on
WAIT = 30.0  # seconds for one of those places
PATIENCE = 1.0  # seconds in which one of a client's own is to be free; the next is refused
MOST_BODIES = 256 << 20  # bytes, of all requests that are being received
FIRST = 1 << 20  # bytes of an answer that is looked at before it begins: errors come early

OK = b"Ok.\n"
NOTHING_HERE = (
    "There is no handle {path}\n\nUse / or /ping for health checks.\n"
    "Or /replicas_status for more sophisticated health checks.\n\n"
    "Send queries from your program with POST method or GET /?query=...\n"
)

AUTHENTICATION_FAILED, TOO_MANY, READONLY, SYNTAX_ERROR = 516, 202, 164, 62
ACCESS_DENIED, NETWORK_ERROR, CANCELLED, UNKNOWN = 497, 210, 394, 1002


class Application:
    """The ASGI application. `admit` says what a user may do; without it everybody is `default` and
    reads."""

    def __init__(
        self, sessions: Sessions, new_segment: Callable[[], int], admit: Admit | None = None
    ) -> None:
        self._sessions = sessions
        self._new_segment = new_segment
        self._admit = admit
        self._threads = ThreadPoolExecutor(AT_ONCE + 2, thread_name_prefix="clickhouse")
        self._places = asyncio.Semaphore(AT_ONCE)
        self._own_threads = ThreadPoolExecutor(OWN_AT_ONCE + 2, thread_name_prefix="own")
        self._own_places = asyncio.Semaphore(OWN_AT_ONCE)
        self._clients = weakref.WeakValueDictionary[str, asyncio.Semaphore]()
        self._receiving = 0
        self._running: set[Session] = set()
        self._closed = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        reply = Reply(scope, send, self._sessions.timezone)
        try:
            await self._answer(scope, receive, reply)
        except EngineError as error:
            await reply.error(error, self._sessions.version)
        except StorageError as error:
            logger.error("%s %s: %s", scope["method"], scope["path"], error)
            failed = EngineError(UNKNOWN, "The engine does not answer. (UNKNOWN_EXCEPTION)")
            await reply.error(failed, self._sessions.version)

    def close(self) -> None:
        """End what is running, and run nothing more."""
        self._closed = True
        for session in tuple(self._running):
            session.cancel()

    async def _answer(self, scope: Scope, receive: Receive, reply: Reply) -> None:
        path = scope["path"]
        if path in ("/ping", "/replicas_status"):
            await reply.text(200, OK)
        elif path != "/":
            await reply.text(404, NOTHING_HERE.format(path=path).encode())
        elif scope["method"] == "OPTIONS":
            await reply.text(204, b"")
        elif scope["method"] in ("GET", "HEAD") and not scope["query_string"]:
            await reply.text(200, OK)
        elif scope["method"] not in ("GET", "HEAD", "POST", "PUT"):
            await reply.text(501, f"Unsupported method {scope['method']}\n".encode())
        else:
            asked = self._understand(scope, reply)
            async with self._of_client(asked.user):
                await self._ask(asked, receive, reply)

    def _understand(self, scope: Scope, reply: Reply) -> Asked:
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        parameters = dict(
            parse_qsl(
                scope["query_string"].decode("latin-1"), keep_blank_values=True, errors="replace"
            )
        )
        given = parameters.get("query_id", "")
        reply.query_id = given if re.fullmatch(r"[\x21-\x7e]{1,128}", given) else str(uuid.uuid4())
        user = self._user(scope, parameters, headers)
        check_parameters(parameters)
        return Asked(user, reply.query_id, parameters, headers, scope["method"])

    def _user(
        self, scope: Scope, parameters: Mapping[str, str], headers: Mapping[str, str]
    ) -> User:
        name, key = credentials(parameters, headers)
        if self._admit is None:
            scopes = frozenset(("read",)) if (name, key) == ("default", "") else None
            client = str((scope["client"] or ("",))[0])
        else:
            scopes, client = self._admit(name, key), name
        if scopes is None and (name, key) == ("default", ""):
            raise EngineError(
                REQUIRED_PASSWORD,
                "default: Authentication failed: password is required. (REQUIRED_PASSWORD)",
            )
        if scopes is None:
            raise EngineError(
                AUTHENTICATION_FAILED,
                f"{name}: Authentication failed: password is incorrect, or there is no user with "
                "such name. (AUTHENTICATION_FAILED)",
            )
        return User(client, scopes)

    def _of_client(self, user: User) -> contextlib.AbstractAsyncContextManager[None]:
        """One of the client's own places. Who writes may wait for it: the collector's exporter,
        when it is refused, sends again what it has inserted beside it."""
        most = OWN_PER_CLIENT if user.owns else PER_CLIENT
        places = self._clients.setdefault(user.name, asyncio.Semaphore(most))
        patience = WAIT if "ingest" in user.scopes else PATIENCE
        return _place(places, patience, f"{most} of {user.name} are running or waiting")

    async def _ask(self, asked: Asked, receive: Receive, reply: Reply) -> None:
        with self._body() as body:
            await body.receive(receive, asked)
            plain, content_type = body.plain(), asked.headers.get("content-type", "")
            if content_type.startswith("multipart/"):
                # What drivers do with parameters that are too long for a URL.
                fields = form(plain, content_type)
                check_parameters(fields)
                asked, plain = replace(asked, parameters={**asked.parameters, **fields}), b""
            statement, rows = divided(asked.get("query").encode(), plain)
            if inserts.is_insert(statement) and not asked.user.owns:
                await self._insert(asked, statement, rows, reply)
                return
            if inserts.is_insert(statement) and inserts.has_rows(statement):
                await self._insert_own(asked, statement, rows, receive, reply)
                return
        if not statement.strip():
            raise EngineError(SYNTAX_ERROR, "Syntax error: the query is empty. (SYNTAX_ERROR)")
        sql = statement.decode("utf-8", "replace")
        if asked.get("client_protocol_version").isdecimal() and native.HELLO.fullmatch(sql):
            revision = int(asked.get("client_protocol_version"))
            block = native.hello(self._sessions.version, self._sessions.timezone, revision)
            await reply.whole(asked, [block], "Native", Summary())
            return
        async with self._place(asked.user):
            await self._run(asked, sql, receive, reply)

    @contextlib.contextmanager
    def _body(self) -> Iterator[_Body]:
        body = _Body(self)
        try:
            yield body
        finally:
            self._receiving -= body.size

    def receiving(self, more: int) -> None:
        """So many more bytes are in the memory. Raises EngineError when they are too many."""
        self._receiving += more
        if self._receiving > MOST_BODIES:
            raise _too_many("the bodies of those being received fill the memory meant for them")

    def _place(self, user: User) -> contextlib.AbstractAsyncContextManager[None]:
        places, most = (self._own_places, OWN_AT_ONCE) if user.owns else (self._places, AT_ONCE)
        return _place(places, WAIT, f"{most} run at a time")

    async def _run(self, asked: Asked, sql: str, receive: Receive, reply: Reply) -> None:
        opened, threads = ExitStack(), self._threads_of(asked.user)
        try:
            session = await _in_thread(
                threads, lambda: opened.enter_context(self._open(asked, sql))
            )
            self._running.add(session)
            opened.callback(self._running.discard, session)
            if self._closed:
                raise EngineError(CANCELLED, "clew is stopping. (QUERY_WAS_CANCELLED)")
            if session.kind:
                await self._write(asked, session, receive, reply)
                return
            form = session.format or asked.format
            chunks = session.read(asked.format)
            opened.callback(chunks.close)  # type: ignore[attr-defined]
            watching = asyncio.create_task(self._cancelled_when_gone(receive, session))
            try:
                await self._send(asked, chunks, form, session, reply)
            finally:
                watching.cancel()
        finally:
            await _in_thread(threads, opened.close)

    def _open(self, asked: Asked, sql: str) -> contextlib.AbstractContextManager[Session]:
        return self._sessions.reading(
            sql,
            role=asked.user.role,
            database=asked.database,
            settings=asked.settings,
            parameters=asked.bound,
        )

    async def _send(
        self, asked: Asked, chunks: Iterator[bytes], form: str, session: Session, reply: Reply
    ) -> None:
        first: list[bytes] = []
        threads = self._threads_of(asked.user)

        async def next_chunk() -> bytes | None:
            return await _in_thread(threads, lambda: next(chunks, None))

        while asked.whole or sum(map(len, first)) < FIRST:
            chunk = await next_chunk()
            if chunk is None:
                await reply.whole(asked, first, form, session.summary)
                return
            first.append(chunk)
        await reply.begin(asked, form, session.summary)
        try:
            for chunk in first:
                await reply.more(chunk)
            first.clear()
            while (chunk := await next_chunk()) is not None:
                await reply.more(chunk)
            await reply.end()
        except EngineError as error:
            await reply.broken(error, self._sessions.version)
        except TimeoutError:
            await _in_thread(threads, session.cancel)

    async def _cancelled_when_gone(self, receive: Receive, session: Session) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        await _in_thread(self._threads, session.cancel)

    async def _insert(self, asked: Asked, statement: bytes, rows: bytes, reply: Reply) -> None:
        if asked.method in ("GET", "HEAD"):
            raise EngineError(
                READONLY,
                "Cannot execute query in readonly mode. For queries over HTTP, method GET implies "
                "readonly. You should use method POST for modifying queries. (READONLY)",
            )
        found = inserts.find(statement, asked.format)
        if (
            found.database or asked.database
        ) != DEFAULT_DATABASE or "ingest" not in asked.user.scopes:
            raise EngineError(
                ACCESS_DENIED,
                f"{asked.user.name}: Not enough privileges. To execute this query, it's necessary "
                f"to have the grant INSERT ON {found.database or asked.database}."
                f"{found.insert.table}. (ACCESS_DENIED)",
            )
        given = asked.settings | found.settings
        settings = {name: value for name, value in given.items() if name not in OF_HTTP}
        summary = Summary()

        def insert() -> Mapping[str, Stored]:
            after = memoryview(statement)[found.length :]
            parts: Iterable[bytes] = (bytes(after), rows)
            return self._sessions.insert(
                found.insert, parts, self._new_segment(), role=WRITE, settings=settings
            )

        async with self._place(asked.user):
            stored = await _in_thread(self._threads, insert)
        summary.written_rows = sum(each.items for each in stored.values())
        summary.written_bytes = len(statement) - found.length + len(rows)
        await reply.whole(asked, [], "", summary)

    async def _insert_own(
        self, asked: Asked, statement: bytes, rows: bytes, receive: Receive, reply: Reply
    ) -> None:
        found = inserts.find(statement, asked.format)
        if (found.database or asked.database) != DEFAULT_DATABASE:
            raise EngineError(
                ACCESS_DENIED, "Not enough privileges: only otel is to be written. (ACCESS_DENIED)"
            )
        parts: Iterable[bytes] = (bytes(memoryview(statement)[found.length :]), rows)
        given = asked.settings | found.settings
        settings = {name: value for name, value in given.items() if name not in asked.of_http}
        async with self._place(asked.user):
            with _watching(receive) as there:
                await _in_thread(
                    self._own_threads,
                    lambda: self._sessions.insert_own(found.insert, parts, settings, there),
                )
        await reply.whole(asked, [], "", Summary())

    async def _write(self, asked: Asked, session: Session, receive: Receive, reply: Reply) -> None:
        """Another clew's statement. Once begun it goes on without its client, as on a server."""
        with _watching(receive) as there:
            await _in_thread(self._own_threads, lambda: session.write(there))
        await reply.whole(asked, [], "", session.summary)

    def _threads_of(self, user: User) -> ThreadPoolExecutor:
        return self._own_threads if user.owns else self._threads


async def _in_thread(threads: ThreadPoolExecutor, call: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(threads, call)


@contextlib.contextmanager
def _watching(receive: Receive) -> Iterator[Callable[[], bool]]:
    """A function that says whether the client is still there."""
    gone = threading.Event()

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        gone.set()

    watching = asyncio.create_task(watch())
    try:
        yield lambda: not gone.is_set()
    finally:
        watching.cancel()


class _Body:
    """A request's body while it is in the memory."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._data = bytearray()
        self._encoding = ""
        self._blocks = False
        self._most = MOST_BODY
        self.size = 0

    async def receive(self, receive: Receive, asked: Asked) -> None:
        self._encoding = asked.headers.get("content-encoding", "")
        self._blocks = asked.get("decompress") in ("1", "true")
        most = self._most = asked.user.most_body
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise EngineError(NETWORK_ERROR, "The client has gone. (NETWORK_ERROR)")
            part = message.get("body", b"")
            self.size += len(part)
            self._application.receiving(len(part))
            self._data += part
            if len(self._data) > most:
                raise encodings.too_large(most)
            if not message.get("more_body"):
                return

    def plain(self) -> bytes:
        plain = encodings.decompressed(bytes(self._data), self._encoding, self._most)
        self._data.clear()
        return encodings.from_blocks(plain, self._most) if self._blocks else plain


@contextlib.asynccontextmanager
async def _place(places: asyncio.Semaphore, within: float, why: str) -> AsyncIterator[None]:
    try:
        await asyncio.wait_for(places.acquire(), within)
    except TimeoutError:
        raise _too_many(f"no place within {within:g} s, {why}") from None
    try:
        yield
    finally:
        places.release()


def _too_many(reason: str) -> EngineError:
    return EngineError(
        TOO_MANY, f"Too many simultaneous queries: {reason}. (TOO_MANY_SIMULTANEOUS_QUERIES)"
    )
