"""Every setting of the platform: one row each, with the function that reads its text.

A flag goes before the environment, the environment before the default.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any

SIGNALS = ("traces", "logs", "metrics")
ROLLUPS = "rollups"
DEFAULT_DAYS = 14
ROLLUP_DAYS = 90
MAX_DAYS = 36_500
SHIFTS = {"": 20, "MiB": 20, "GiB": 30, "TiB": 40}  # of a number of bytes; alone it is MiB


class UsageError(Exception):
    """A setting or a command that cannot be used; says what to write instead."""


def read_address(text: str) -> tuple[str, int]:
    """Host and port of `host:port`; port 0 picks a free one."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise UsageError("write host:port, such as 127.0.0.1:0")
    return host.strip("[]") or "127.0.0.1", int(port)


def read_optional_address(text: str) -> tuple[str, int] | None:
    """As read_address; None for an empty text."""
    return read_address(text) if text else None


def read_statsd(text: str) -> tuple[tuple[str, int] | Path, ...]:
    """Addresses, and paths of Unix sockets, separated by commas."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    return tuple(
        Path(name.removeprefix("unix:")).expanduser().absolute()
        if name.startswith("unix:")
        else read_address(name)
        for name in names
    )


def read_redaction(text: str) -> frozenset[str] | None:
    """Further names of what is secret; None if nothing is redacted."""
    from clew.redaction import further_names

    return further_names(text) if text else None


def read_path(text: str) -> Path | None:
    """An absolute path; None for an empty text."""
    try:
        return Path(text).expanduser().resolve() if text else None
    except (OSError, RuntimeError) as error:  # a loop of links; a user who has no home
        raise UsageError(str(error)) from error


def read_directory(text: str) -> Path:
    """An absolute path; an empty text is the working directory."""
    return read_path(text) or Path.cwd()


def read_cluster(text: str) -> str:
    """A cluster's name, or ""."""
    if text and not re.fullmatch(r"[A-Za-z0-9_.-]+", text):
        raise UsageError("write its name as in system.clusters")
    return text


def read_origins(text: str) -> frozenset[str]:
    """Origins of web pages, separated by commas; `*` is any."""
    origins = frozenset(origin.strip() for origin in text.split(",") if origin.strip())
    for origin in origins - {"*"}:
        if not re.fullmatch(r"[a-z][a-z0-9+.-]*://[^\s/?#@*]+", origin):
            raise UsageError("write scheme://host or scheme://host:port, or *")
    return origins


def read_hosts(text: str) -> frozenset[str]:
    """Names of hosts without ports, separated by commas."""
    names = frozenset(name.strip().lower() for name in text.split(",") if name.strip())
    for name in names:
        if not re.fullmatch(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?", name):
            raise UsageError("write names such as clew.example.org, separated by commas")
    return names


def read_headers(text: str) -> tuple[str, ...]:
    """Names of HTTP headers, separated by commas."""
    names = tuple(name.strip().lower() for name in text.split(",") if name.strip())
    for name in names:
        if not re.fullmatch(r"[a-z0-9!#$%&'+.^_`|~-]+", name):
            raise UsageError("write names of HTTP headers, separated by commas")
    return names


def read_count(text: str) -> int:
    """A whole number."""
    if not (text.isascii() and text.isdecimal() and len(text) <= 6):
        raise UsageError("write a whole number, such as 2000")
    return int(text)


def read_networks(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    """Networks as CIDR, separated by commas."""
    try:
        return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise UsageError("write networks such as 10.1.0.0/16, separated by commas") from error


def read_retention(text: str) -> dict[str, int]:
    """Days by signal, and of the rollups by the hour. What is not named has its default.
    A number alone is that of every signal; rollups are kept at least as long."""
    named = [entry.strip().partition("=") for entry in text.split(",")]
    if "=" not in text:
        named = [(signal, "=", text) for signal in SIGNALS]
    days = {signal: _read_days(value) for signal, _, value in named}
    known = {*SIGNALS, ROLLUPS}
    if len(days) < len(named) or not days.keys() <= known or None in days.values():
        raise UsageError(
            "write a number of days, such as 14d, or some by signal, such as "
            "traces=14d,logs=7d,metrics=30d,rollups=90d"
        )
    by_signal = dict.fromkeys(SIGNALS, DEFAULT_DAYS) | {
        name: number for name, number in days.items() if number is not None
    }
    return {ROLLUPS: max(ROLLUP_DAYS, *by_signal.values())} | by_signal


def _read_days(text: str) -> int | None:
    days = text.strip().removesuffix("d")
    is_number = days.isascii() and days.isdecimal()
    return int(days) if is_number and 1 <= int(days) <= MAX_DAYS else None


def read_bytes(text: str) -> int | None:
    """Bytes of a size such as 50GiB; a number alone is MiB; None for an empty text."""
    if not text:
        return None
    size = re.fullmatch(r"([0-9]{1,12})\s*(MiB|GiB|TiB|)", text.strip())
    if size is None or not 1 <= int(size[1]) <= 1 << (50 - SHIFTS[size[2]]):
        raise UsageError("write a size such as 50GiB, or a number of MiB")
    return int(size[1]) << SHIFTS[size[2]]


@dataclass(frozen=True)
class Setting:
    """`name` is the attribute of Settings, the flag (`--name`) and the variable (`CLEW_NAME`).
    `read` makes the value of a text, or raises UsageError."""

    name: str
    default: str
    doc: str
    read: Callable[[str], Any]

    @property
    def flag(self) -> str:
        return f"--{self.name.replace('_', '-')}"

    @property
    def variable(self) -> str:
        return f"CLEW_{self.name.upper()}"

    def text(self, arguments: argparse.Namespace, environ: Mapping[str, str]) -> str:
        """What was written for it: by its flag, else in the environment, else the default."""
        flag: str | None = getattr(arguments, self.name, None)
        return environ.get(self.variable, self.default) if flag is None else flag

    def value(self, text: str) -> Any:
        """The value of a text. Raises UsageError, which names the flag and the text."""
        try:
            return self.read(text)
        except UsageError as error:
            raise UsageError(f"{self.flag} {text!r}: {error}") from error


API_KEYS = Setting(
    "api_keys",
    "",
    "file of API keys (`clew key` makes them); with it, every client needs one",
    read_path,
)
DATA = Setting(
    "data", "./data", "directory for the spool and the embedded database", read_directory
)
API = Setting("api", "127.0.0.1:4319", "address for the REST API", read_address)
SETTINGS = (
    DATA,
    Setting(
        "dsn",
        "",
        "database: chdb:///dir (default <data>/db) or clickhouse://user:password@host:8123/",
        str,
    ),
    Setting(
        "cluster",
        "",
        "name of the ClickHouse cluster whose nodes --dsn is to reach: its tables are made on all",
        read_cluster,
    ),
    Setting("otlp_http", "127.0.0.1:4318", "address for OTLP over HTTP", read_address),
    Setting("otlp_grpc", "127.0.0.1:4317", "address for OTLP over gRPC", read_address),
    API,
    Setting(
        "statsd",
        "",
        "addresses for StatsD over UDP and TCP, comma separated, such as 127.0.0.1:8125 or "
        "unix:/run/clew/statsd.sock; empty turns it off",
        read_statsd,
    ),
    Setting(
        "redact",
        "",
        "true removes secrets from what is received, before it is on the disk; other words, comma "
        "separated, are further names of what is secret. Empty or false turns it off",
        read_redaction,
    ),
    Setting("statsd_service", "statsd", "service.name of StatsD's samples without a tag", str),
    Setting(
        "clickhouse",
        "127.0.0.1:8123",
        "address for ClickHouse over HTTP, while the engine is embedded; empty turns it off",
        read_optional_address,
    ),
    Setting(
        "transactions",
        "",
        "YAML file that defines business transactions; read again when it changes",
        read_path,
    ),
    Setting(
        "alerts",
        "",
        "YAML file with rules, receivers and routes of alerts; read again when it changes",
        read_path,
    ),
    Setting(
        "watch_limit",
        "2000",
        "series that are compared with their own past: those with the most value and requests",
        read_count,
    ),
    Setting(
        "alert_networks",
        "",
        "private networks, comma separated, that receivers of alerts may lie in: 10.1.0.0/16",
        read_networks,
    ),
    API_KEYS,
    Setting(
        "tls_cert", "", "PEM file of the certificate and its chain, for every address", read_path
    ),
    Setting("tls_key", "", "PEM file of the certificate's key", read_path),
    Setting(
        "hosts",
        "",
        "further names, comma separated, that the HTTP ports answer to without API keys, besides "
        "localhost and the addresses that they are bound to",
        read_hosts,
    ),
    Setting(
        "cors_origins",
        "",
        "origins, comma separated, or *, whose pages may send OTLP over HTTP",
        read_origins,
    ),
    Setting(
        "cors_headers",
        "",
        "further request headers, comma separated, that those pages may send",
        read_headers,
    ),
    Setting(
        "retention",
        f"{DEFAULT_DAYS}d",
        "how long rows are kept, in days: 30d, or by signal: traces=14d,logs=7d,metrics=30d; the "
        "rollups by the hour, which baselines need, are kept longer: rollups=90d",
        read_retention,
    ),
    Setting(
        "database_limit",
        "",
        "what the tables may hold, such as 50GiB: past it the oldest days go; by default 80 %% of "
        "the disk and never its last 5 %% (or 10 GiB), on a server no limit",
        read_bytes,
    ),
    Setting(
        "spool_limit",
        "",
        "what the spool may hold, such as 2GiB; by default a tenth of its disk",
        read_bytes,
    ),
    Setting(
        "in_flight_limit",
        "",
        "requests being received, such as 256MiB; by default 1/32 of the memory, 128 MiB at least, "
        "1 GiB at most",
        read_bytes,
    ),
    Setting(
        "memory_limit",
        "",
        "memory of the embedded engine, such as 4GiB; by default half of the machine's. What would "
        "need more is refused, or waits",
        read_bytes,
    ),
)


@dataclass(frozen=True)
class Settings:
    """The settings in use. Addresses are host and port; port 0 picks a free one."""

    data: Path
    dsn: str
    otlp_http: tuple[str, int]
    otlp_grpc: tuple[str, int]
    api: tuple[str, int]
    retention: Mapping[str, int]  # days, by signal and of "rollups"
    statsd: tuple[tuple[str, int] | Path, ...] = ()
    statsd_service: str = "statsd"
    redact: frozenset[str] | None = None  # further names; None is off
    cluster: str = ""
    clickhouse: tuple[str, int] | None = None
    transactions: Path | None = None
    alerts: Path | None = None
    watch_limit: int = 2000
    alert_networks: tuple[IPv4Network | IPv6Network, ...] = ()
    api_keys: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    hosts: frozenset[str] = frozenset()
    cors_origins: frozenset[str] = frozenset()
    cors_headers: tuple[str, ...] = ()
    database_limit: int | None = None  # bytes
    spool_limit: int | None = None  # bytes
    in_flight_limit: int | None = None  # bytes
    memory_limit: int | None = None  # bytes
    texts: Mapping[str, str] = field(default_factory=dict, compare=False)  # as written, by name


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Every setting as a flag."""
    for setting in SETTINGS:
        add_flag(parser, setting)


def add_flag(parser: argparse.ArgumentParser, setting: Setting) -> None:
    """One setting as a flag."""
    parser.add_argument(
        setting.flag,
        metavar="VALUE",
        help=f"{setting.doc} ({setting.variable}, default {setting.default or 'empty'})",
    )


def resolve(arguments: argparse.Namespace, environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings from flags, environment and defaults. Raises UsageError."""
    texts = {setting.name: setting.text(arguments, environ) for setting in SETTINGS}
    values = {setting.name: setting.value(texts[setting.name]) for setting in SETTINGS}
    if values["cluster"] and values["database_limit"]:
        raise UsageError("--database-limit: a cluster's disks are kept by --retention alone")
    values["dsn"] = values["dsn"] or f"chdb://{values['data'] / 'db'}"
    return Settings(**values, texts=texts)


def variables(settings: Settings, **changes: str) -> dict[str, str]:
    """The environment in which another clew has the same settings but for `changes`, by name."""
    texts = {**settings.texts, **changes}
    return {setting.variable: texts[setting.name] for setting in SETTINGS}


def api_keys(arguments: argparse.Namespace, environ: Mapping[str, str] = os.environ) -> Path | None:
    """The file of API keys, without the other settings. Raises UsageError."""
    path: Path | None = API_KEYS.value(API_KEYS.text(arguments, environ))
    return path
