"""A request to ClickHouse's HTTP interface: where it carries user, statement, parameters, settings
and format."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass

from clew.access import Principal
from clew.clickhouse import encodings, inserts
from clew.storage import DESCRIBE, PEER, READ, ErrorCode, refusal
from clew.storage.freshness import EVERYTHING, MAX_WAIT, WAIT, Reads

MAX_BODY = 64 << 20  # bytes of a request's body, decompressed
PEER_MAX_BODY = 160 << 20  # bytes: a segment's size is exceeded by at most one large request
DEFAULT_DATABASE = "otel"
TABLE = re.compile(r"\b(?:otel|clew)_\w+", re.ASCII | re.IGNORECASE)
WRITING = re.compile(r"\s*(ALTER|CREATE|DROP|INSERT|KILL|OPTIMIZE|SYSTEM|TRUNCATE)\b", re.I)
STEPS = frozenset(("edges",))  # over settled traces, that a read can ask for

# Parameters of the HTTP interface itself, and settings that drivers always send. They say how to
# deliver an answer, or what is so here anyway; the engine does not get them.
_HTTP_PARAMETERS = """
add_http_cors_header async_insert buffer_size cancel_http_readonly_queries_on_client_close
client_protocol_version close_session compress connect_timeout database decompress
deduplicate_insert default_format distributed_foreground_insert enable_http_compression
http_headers_progress_interval_ms http_native_compression_disable_checksumming_on_decompress
http_receive_timeout http_response_buffer_size http_send_timeout http_wait_end_of_query
http_write_exception_in_output_format http_zlib_compression_level insert_deduplicate insert_quorum
load_balancing log_comment log_queries network_compression_method network_zstd_compression_level
output_format_compression_level password query query_id quota_key readonly receive_timeout
send_progress_in_http_headers send_timeout session_check session_id session_timeout stacktrace user
wait wait_end_of_query wait_for_async_insert workload
"""
HTTP_PARAMETERS = frozenset(_HTTP_PARAMETERS.split())
REFUSED_PARAMETERS = {"role": "roles are not chosen here"}


@dataclass(frozen=True)
class User:
    """The sender of a request. Limits for one client apply to `name`."""

    name: str
    principal: Principal

    @property
    def is_peer(self) -> bool:
        """Whether it is another clew, which uses this one as its ClickHouse server."""
        return self.principal.may("database")

    @property
    def max_body(self) -> int:
        """Bytes that a request's body may have, decompressed."""
        return PEER_MAX_BODY if self.is_peer else MAX_BODY

    @property
    def role(self) -> str:
        """The engine's role for its statements, other than inserts of a client's rows."""
        if self.is_peer:
            return PEER
        return READ if self.principal.may("read") else DESCRIBE


@dataclass(frozen=True)
class HttpQuery:
    """A request without its body. `parameters` are those of the URL and, for a multipart form, its
    fields; names in `headers` are lower case."""

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
        """The answer's format when the statement has no FORMAT clause."""
        name = self.get("default_format") or self.headers.get("x-clickhouse-format")
        return name or "TabSeparated"

    @property
    def bound_parameters(self) -> dict[str, str]:
        """Values for the statement's `{name:Type}`, by name."""
        return {
            name.removeprefix("param_"): value
            for name, value in self.parameters.items()
            if name.startswith("param_")
        }

    @property
    def settings(self) -> dict[str, str]:
        """The engine's settings among the parameters."""
        return self.engine_settings(
            {
                name: value
                for name, value in self.parameters.items()
                if not name.startswith("param_")
            }
        )

    def engine_settings(self, settings: Mapping[str, str]) -> dict[str, str]:
        """Those of some settings that the engine gets. A peer's log_comment is one of them: it
        finds its statements by it."""
        ignored = HTTP_PARAMETERS - {"log_comment"} if self.user.is_peer else HTTP_PARAMETERS
        return {name: value for name, value in settings.items() if name not in ignored}

    @property
    def wait(self) -> float:
        """Seconds that the statement waits for what was received before it."""
        try:
            return min(max(float(self.get("wait") or WAIT), 0.0), MAX_WAIT)
        except ValueError:
            return WAIT

    @property
    def waits_for_end(self) -> bool:
        """Whether nothing may be sent before the answer is complete."""
        return "1" in (self.get("wait_end_of_query"), self.get("http_wait_end_of_query"))

    @property
    def encoding(self) -> str:
        """The answer's content encoding, empty for none."""
        if self.get("enable_http_compression") in ("0", "false"):
            return ""
        return encodings.negotiate(self.headers.get("accept-encoding", ""))


def reads_of(sql: str) -> Reads:
    """What a statement reads, by the names of tables in it. Those of clew hold what is computed
    from traces, log records and metrics. A peer's statement that writes reads nothing."""
    if WRITING.match(sql):
        return Reads()
    names = {name.lower() for name in TABLE.findall(sql)}
    signals = {
        signal
        for signal in EVERYTHING.signals
        if any(name.startswith((f"otel_{signal}", "clew_")) for name in names)
    }
    is_computed = any(name.startswith("clew_") for name in names)
    return Reads(frozenset(signals), is_computed, STEPS if is_computed else frozenset())


def check_parameters(parameters: Mapping[str, str]) -> None:
    """Raises EngineError when a parameter is one that is refused."""
    for name, reason in REFUSED_PARAMETERS.items():
        if name in parameters:
            raise refusal(ErrorCode.NOT_IMPLEMENTED, f"{name}: {reason}.")


def parse_form(body: bytes, content_type: str) -> dict[str, str]:
    """The fields of a multipart form. Raises EngineError for a file, which is an external table."""
    boundary = re.search(r'boundary="?([^";]+)', content_type)
    fields = {}
    for part in body.split(f"--{boundary[1]}".encode())[1:-1] if boundary else ():
        head, _, value = part.partition(b"\r\n\r\n")
        name = re.search(rb'name="([^"]*)"', head)
        if name is None or b"filename" in head.lower():
            raise refusal(
                ErrorCode.NOT_IMPLEMENTED, "External tables (multipart) are not taken here."
            )
        text = value.removesuffix(b"\r\n").decode("utf-8", "replace")
        fields[name[1].decode("utf-8", "replace")] = text
    return fields


def split_statement(parameter: bytes, body: bytes) -> tuple[bytes, bytes]:
    """Statement and rows. With an INSERT in the parameter `query` the body is its rows; otherwise
    the statement is the parameter followed by the body, and may have rows at its end."""
    if parameter and inserts.is_insert(parameter):
        return parameter, body
    return b"\n".join(filter(None, (parameter, body))), b""


def credentials(parameters: Mapping[str, str], headers: Mapping[str, str]) -> tuple[str, str]:
    """User and password: from ClickHouse's own headers, else from Authorization, else from the
    parameters. Both are empty when Authorization cannot be read."""
    if "x-clickhouse-user" in headers or "x-clickhouse-key" in headers:
        return headers.get("x-clickhouse-user", "default"), headers.get("x-clickhouse-key", "")
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            name, _, key = base64.b64decode(value, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return "", ""
        return name or "default", key
    if scheme:
        return "", ""
    return parameters.get("user") or "default", parameters.get("password", "")
