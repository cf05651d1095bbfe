"""ClickHouse over HTTP: an ASGI application in front of the embedded engine's sessions.

What a client meets is what a server's HTTP interface does: where statement, parameters, settings,
format and user are looked for, which status an error has, what the headers say.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import json
import logging
import re
import secrets
import threading
import time
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
from dataclasses import dataclass, replace
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from clew.clickhouse import blocks, encodings, inserts, native
from clew.storage import (
    DESCRIBE,
    OWN,
    READ,
    WRITE,
    EngineError,
    Session,
    Sessions,
    StorageError,
    Stored,
    Summary,
)

logger = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
T = TypeVar("T")

# What a user with this name and key may do, by API key scopes; None for nobody.
Admit = Callable[[str, str], frozenset[str] | None]

# Another clew's own limits hold for it; these are so many that it meets none.
OWN_PER_CLIENT = 64
OWN_AT_ONCE = 16
OWN_MOST_BODY = 160 << 20  # bytes: a segment that one large request went over the edge of
PER_CLIENT = 8  # statements of one client, waiting or running
AT_ONCE = 4  # statements of all clients that the engine works on
WAIT = 30.0  # seconds for one of those places
PATIENCE = 1.0  # seconds in which one of a client's own is to be free; the next is refused
MOST_BODY = 64 << 20  # bytes, of one request, decompressed
MOST_BODIES = 256 << 20  # bytes, of all requests that are being received
FIRST = 1 << 20  # bytes of an answer that is looked at before it begins: errors come early
SEND_WITHIN = 60.0  # seconds in which a client takes the next piece of its answer

DEFAULT_DATABASE = "otel"
OK = b"Ok.\n"
NOTHING_HERE = (
    "There is no handle {path}\n\nUse / or /ping for health checks.\n"
    "Or /replicas_status for more sophisticated health checks.\n\n"
    "Send queries from your program with POST method or GET /?query=...\n"
)

# Parameters of HTTP itself, and settings that drivers send as a matter of course: they say how to
# deliver, or what holds here anyway, and are not the engine's to know.
_OF_HTTP = """
add_http_cors_header async_insert buffer_size cancel_http_readonly_queries_on_client_close
client_protocol_version close_session compress connect_timeout database decompress
deduplicate_insert default_format distributed_foreground_insert enable_http_compression
http_headers_progress_interval_ms http_native_compression_disable_checksumming_on_decompress
http_receive_timeout http_response_buffer_size http_send_timeout http_wait_end_of_query
http_write_exception_in_output_format http_zlib_compression_level insert_deduplicate insert_quorum
load_balancing log_comment log_queries network_compression_method network_zstd_compression_level
output_format_compression_level password query query_id quota_key readonly receive_timeout
send_progress_in_http_headers send_timeout session_check session_id session_timeout stacktrace user
wait_end_of_query wait_for_async_insert workload
"""
OF_HTTP = frozenset(_OF_HTTP.split())
REFUSED_PARAMETERS = {"role": "roles are not chosen here"}

# Errors whose status is not 500, as a server has it.
STATUSES = {
    400: (6, 8, 15, 25, 26, 27, 36, 37, 38, 41, 44, 53, 62, 72, 117, 123, 167, 168, 223, 321, 376,
          427, 441, 675, 676),
    401: (194,),
    403: (192, 193, 497, 512, 516),
    404: (46, 47, 50, 56, 60, 63, 73, 78, 81, 115, 152, 336, 511),
    408: (159,),
    413: (229,),
    501: (48,),
    503: (76, 209, 439),
}  # fmt: skip
STATUS = {code: status for status, codes in STATUSES.items() for code in codes}
REQUIRED_PASSWORD = 194
AUTHENTICATION_FAILED, TOO_MANY, READONLY, SYNTAX_ERROR = 516, 202, 164, 62
ACCESS_DENIED, NOT_IMPLEMENTED, NETWORK_ERROR, CANCELLED, UNKNOWN = 497, 48, 210, 394, 1002

CONTENT_TYPES = (
    (re.compile(r"(TSV|TabSeparated).*"), "text/tab-separated-values; charset=UTF-8"),
    (re.compile(r"CSV.*"), "text/csv; charset=UTF-8"),
    (re.compile(r"(JSON.*EachRow.*|NDJSON|JSONLines)"), "application/x-ndjson; charset=UTF-8"),
    (re.compile(r"JSON.*"), "application/json; charset=UTF-8"),
    (re.compile(r"XML"), "application/xml; charset=UTF-8"),
    (re.compile(r"Markdown"), "text/markdown; charset=UTF-8"),
    (re.compile(r"(Pretty.*|Vertical|Values|TSKV|SQLInsert|Null)"), "text/plain; charset=UTF-8"),
)


@dataclass(frozen=True)
class User:
    """Whoever asks: `name` counts as one client, `scopes` are those of its API key."""

    name: str
    scopes: frozenset[str]

    @property
    def owns(self) -> bool:
        """Whether it is another clew."""
        return "database" in self.scopes

    @property
    def most_body(self) -> int:
        return OWN_MOST_BODY if self.owns else MOST_BODY

    @property
    def role(self) -> str:
        """What its statements may do, rows of its own apart."""
        if self.owns:
            return OWN
        return READ if "read" in self.scopes else DESCRIBE


@dataclass(frozen=True)
class Asked:
    """A request, its head understood."""

    user: User
    query_id: str
    parameters: Mapping[str, str]
    headers: Mapping[str, str]
    method: str

    def get(self, name: str, default: str = "") -> str:
        return self.parameters.get(name, default)

    @property
    def database(self) -> str:
        return self.get("database") or self.headers.get("x-clickhouse-database") or DEFAULT_DATABASE

    @property
    def format(self) -> str:
        given = self.get("default_format") or self.headers.get("x-clickhouse-format")
        return given or "TabSeparated"

    @property
    def bound(self) -> dict[str, str]:
        return {
            name.removeprefix("param_"): value
            for name, value in self.parameters.items()
            if name.startswith("param_")
        }

    @property
    def of_http(self) -> frozenset[str]:
        """The parameters that are not settings; another clew finds its statements by a comment."""
        return OF_HTTP - {"log_comment"} if self.user.owns else OF_HTTP

    @property
    def settings(self) -> dict[str, str]:
        return {
            name: value
            for name, value in self.parameters.items()
            if name not in self.of_http and not name.startswith("param_")
        }

    @property
    def whole(self) -> bool:
        """Nothing is to be sent before the answer is complete."""
        return "1" in (self.get("wait_end_of_query"), self.get("http_wait_end_of_query"))

    @property
    def encoding(self) -> str:
        if self.get("enable_http_compression") in ("0", "false"):
            return ""
        return encodings.chosen(self.headers.get("accept-encoding", ""))


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
        reply = _Reply(scope, send, self._sessions.timezone)
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

    async def _answer(self, scope: Scope, receive: Receive, reply: _Reply) -> None:
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

    def _understand(self, scope: Scope, reply: _Reply) -> Asked:
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
        _check_parameters(parameters)
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

    async def _ask(self, asked: Asked, receive: Receive, reply: _Reply) -> None:
        with self._body() as body:
            await body.receive(receive, asked)
            plain, content_type = body.plain(), asked.headers.get("content-type", "")
            if content_type.startswith("multipart/"):
                # What drivers do with parameters that are too long for a URL.
                fields = form(plain, content_type)
                _check_parameters(fields)
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

    async def _run(self, asked: Asked, sql: str, receive: Receive, reply: _Reply) -> None:
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
        self, asked: Asked, chunks: Iterator[bytes], form: str, session: Session, reply: _Reply
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

    async def _insert(self, asked: Asked, statement: bytes, rows: bytes, reply: _Reply) -> None:
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
        self, asked: Asked, statement: bytes, rows: bytes, receive: Receive, reply: _Reply
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

    async def _write(self, asked: Asked, session: Session, receive: Receive, reply: _Reply) -> None:
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


class _Reply:
    """What is sent back: one answer, whole or in pieces."""

    def __init__(self, scope: Scope, send: Send, timezone: str) -> None:
        self._head = scope["method"] == "HEAD"
        self._send = send
        self._timezone = timezone
        self._compressor: encodings.Compressor | None = None
        self._tag = secrets.token_hex(8)
        self.query_id = str(uuid.uuid4())
        self.begun = False

    async def text(self, status: int, body: bytes) -> None:
        await self._start(status, [("content-type", "text/html; charset=UTF-8")], len(body))
        await self._body(body, last=True)

    async def error(self, error: EngineError, version: str) -> None:
        body = worded(error, version)
        headers = [
            *self._common(),
            ("content-type", "text/plain; charset=UTF-8"),
            ("x-clickhouse-exception-code", str(error.code)),
        ]
        if error.code == REQUIRED_PASSWORD:
            headers.append(("www-authenticate", 'Basic realm="ClickHouse server HTTP API"'))
        await self._start(STATUS.get(error.code, 500), headers, len(body))
        await self._body(body, last=True)

    async def whole(self, asked: Asked, chunks: list[bytes], form: str, summary: Summary) -> None:
        body = b"".join(chunks)
        headers = self._of_answer(asked, form, summary)
        if self._compressor and body:
            body = self._compressor.add(body) + self._compressor.end()
        await self._start(200, headers, len(body))
        await self._body(body, last=True)

    async def begin(self, asked: Asked, form: str, summary: Summary) -> None:
        await self._start(200, self._of_answer(asked, form, summary), None)

    async def more(self, chunk: bytes) -> None:
        data = self._compressor.add(chunk) if self._compressor else chunk
        if data:
            async with asyncio.timeout(SEND_WITHIN):
                await self._body(data, last=False)

    async def end(self) -> None:
        await self._body(self._compressor.end() if self._compressor else b"", last=True)

    async def broken(self, error: EngineError, version: str) -> None:
        """An error after the answer has begun: framed as a server does it, and no proper end."""
        words = worded(error, version).decode()
        text = (
            f"\r\n__exception__\r\n{self._tag}\r\n{words}{len(words.encode())} {self._tag}"
            "\r\n__exception__\r\n"
        ).encode()
        if isinstance(self._compressor, blocks.Blocks):  # the frame stands behind them as it is
            text, self._compressor = self._compressor.end() + text, None
        await self.more(text)
        if self._compressor:
            await self._body(self._compressor.end(), last=False)
        # No end: whoever does not look for the frame is to see that something is missing.

    def _of_answer(self, asked: Asked, form: str, summary: Summary) -> list[tuple[str, str]]:
        headers = [*self._common(), ("x-clickhouse-summary", summarised(summary))]
        headers.append(("x-clickhouse-timezone", self._timezone))
        headers.append(("x-clickhouse-exception-tag", self._tag))
        if form:
            headers.append(("x-clickhouse-format", form))
        headers.append(("content-type", content_type(form)))
        if method := encodings.native(asked.parameters):
            self._compressor = blocks.Blocks(method)
        elif asked.encoding and form:
            headers += [("content-encoding", asked.encoding), ("vary", "accept-encoding")]
            self._compressor = encodings.COMPRESSORS[asked.encoding]()
        return headers

    def _common(self) -> list[tuple[str, str]]:
        return [
            ("x-clickhouse-query-id", self.query_id),
            ("x-clickhouse-server-display-name", "clew"),
        ]

    async def _start(self, status: int, headers: list[tuple[str, str]], length: int | None) -> None:
        if self.begun:
            return
        self.begun = True
        if length is not None:
            headers = [*headers, ("content-length", str(length))]
        encoded = [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers]
        await self._send({"type": "http.response.start", "status": status, "headers": encoded})

    async def _body(self, data: bytes, *, last: bool) -> None:
        data = b"" if self._head else data
        await self._send({"type": "http.response.body", "body": data, "more_body": not last})


def _check_parameters(parameters: Mapping[str, str]) -> None:
    for name, reason in REFUSED_PARAMETERS.items():
        if name in parameters:
            raise EngineError(NOT_IMPLEMENTED, f"{name}: {reason}. (NOT_IMPLEMENTED)")


def form(body: bytes, content_type: str) -> dict[str, str]:
    """The fields of a multipart form. Raises EngineError for a file, which is an external table."""
    boundary = re.search(r'boundary="?([^";]+)', content_type)
    fields = {}
    for part in body.split(f"--{boundary[1]}".encode())[1:-1] if boundary else ():
        head, _, value = part.partition(b"\r\n\r\n")
        name = re.search(rb'name="([^"]*)"', head)
        if name is None or b"filename" in head.lower():
            raise EngineError(
                NOT_IMPLEMENTED, "External tables (multipart) are not taken here. (NOT_IMPLEMENTED)"
            )
        text = value.removesuffix(b"\r\n").decode("utf-8", "replace")
        fields[name[1].decode("utf-8", "replace")] = text
    return fields


def divided(parameter: bytes, body: bytes) -> tuple[bytes, bytes]:
    """Statement and rows: the body is an INSERT's rows when the INSERT is in the parameter, else it
    goes on with what the parameter began."""
    if parameter and inserts.is_insert(parameter):
        return parameter, body
    return b"\n".join(filter(None, (parameter, body))), b""


def credentials(parameters: Mapping[str, str], headers: Mapping[str, str]) -> tuple[str, str]:
    """User and password: ClickHouse's own headers, else Authorization, else the parameters."""
    if "x-clickhouse-user" in headers or "x-clickhouse-key" in headers:
        return headers.get("x-clickhouse-user", "default"), headers.get("x-clickhouse-key", "")
    scheme, _, rest = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            name, _, key = base64.b64decode(rest, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return "", ""
        return name or "default", key
    if scheme:
        return "", ""
    return parameters.get("user") or "default", parameters.get("password", "")


def worded(error: EngineError, version: str) -> bytes:
    text = " ".join(f"{error} (version {version} (chDB))".split("\n"))
    return f"{text}\n".encode()


def summarised(summary: Summary) -> str:
    """Numbers as strings, as a server writes them."""
    elapsed = int((time.monotonic() - summary.began) * 1e9)
    numbers = {
        "read_rows": summary.read_rows,
        "read_bytes": summary.read_bytes,
        "written_rows": summary.written_rows,
        "written_bytes": summary.written_bytes,
        "total_rows_to_read": summary.read_rows,
        "result_rows": summary.result_rows or summary.written_rows,
        "result_bytes": summary.result_bytes or summary.written_bytes,
        "elapsed_ns": elapsed,
    }
    return json.dumps(
        {name: str(number) for name, number in numbers.items()}, separators=(",", ":")
    )


def content_type(form: str) -> str:
    return next(
        (kind for pattern, kind in CONTENT_TYPES if pattern.fullmatch(form)),
        "application/octet-stream",
    )


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
