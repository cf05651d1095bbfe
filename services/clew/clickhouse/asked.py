"""A request as ClickHouse's HTTP interface reads it: where user, statement, parameters, settings
and format are looked for."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass

from clew.clickhouse import encodings, inserts
from clew.storage import DESCRIBE, OWN, READ, EngineError

MOST_BODY = 64 << 20  # bytes, of one request, decompressed
OWN_MOST_BODY = 160 << 20  # bytes: a segment that one large request went over the edge of
DEFAULT_DATABASE = "otel"
NOT_IMPLEMENTED = 48

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


def check_parameters(parameters: Mapping[str, str]) -> None:
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
