"""Every setting of the platform: one row each. A flag goes before the environment, that before the
default."""

from __future__ import annotations

import argparse
import logging
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

logger = logging.getLogger(__name__)

SIGNALS = ("traces", "logs", "metrics")
DEFAULT_DAYS = 14
UNITS = {"": 20, "MiB": 20, "GiB": 30, "TiB": 40}
_RETENTION = (
    "--retention {!r}: write a number of days, such as 14d, or some by signal, such as "
    "traces=14d,logs=7d,metrics=30d"
)


@dataclass(frozen=True)
class Setting:
    """`name` is the attribute, the flag (`--name`) and the variable (`CLEW_NAME`)."""

    name: str
    default: str
    doc: str

    @property
    def flag(self) -> str:
        return f"--{self.name.replace('_', '-')}"

    @property
    def variable(self) -> str:
        return f"CLEW_{self.name.upper()}"


API_KEYS = Setting(
    "api_keys", "", "file of API keys (`clew key` makes them); with it, every client needs one"
)
SETTINGS = (
    Setting("data", "./data", "directory for the spool and the embedded database"),
    Setting(
        "dsn",
        "",
        "database: chdb:///dir (default <data>/db) or clickhouse://user:password@host:8123/",
    ),
    Setting(
        "cluster",
        "",
        "name of the ClickHouse cluster whose nodes --dsn is to reach: its tables are made on all",
    ),
    Setting("otlp_http", "127.0.0.1:4318", "address for OTLP over HTTP"),
    Setting("otlp_grpc", "127.0.0.1:4317", "address for OTLP over gRPC"),
    Setting("api", "127.0.0.1:4319", "address for the REST API"),
    Setting(
        "clickhouse",
        "127.0.0.1:8123",
        "address for ClickHouse over HTTP, while the engine is embedded; empty turns it off",
    ),
    Setting(
        "transactions",
        "",
        "YAML file that defines business transactions; read again when it changes",
    ),
    API_KEYS,
    Setting("tls_cert", "", "PEM file of the certificate and its chain, for every address"),
    Setting("tls_key", "", "PEM file of the certificate's key"),
    Setting(
        "cors_origins",
        "",
        "origins, comma separated, or *, whose pages may send OTLP over HTTP",
    ),
    Setting(
        "retention",
        f"{DEFAULT_DAYS}d",
        "how long rows are kept, in days: 30d, or by signal: traces=14d,logs=7d,metrics=30d",
    ),
    Setting(
        "database_limit",
        "",
        "what the tables may hold, such as 50GiB: past it the oldest days go; by default 80 %% of "
        "the disk and never its last 5 %% (or 10 GiB), on a server no limit",
    ),
    Setting(
        "spool_limit", "", "what the spool may hold, such as 2GiB; by default a tenth of its disk"
    ),
    Setting(
        "in_flight_limit",
        "",
        "requests being received, such as 256MiB; by default 1/32 of the memory, 128 MiB at least, "
        "1 GiB at most",
    ),
    Setting(
        "memory_limit",
        "",
        "memory of the embedded engine, such as 4GiB; by default half of the machine's. What would "
        "need more is refused, or waits",
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
    retention: Mapping[str, int]  # days, by signal
    cluster: str = ""
    clickhouse: tuple[str, int] | None = None
    transactions: Path | None = None
    api_keys: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    cors_origins: frozenset[str] = frozenset()
    database_limit: int | None = None  # bytes
    spool_limit: int | None = None  # bytes
    in_flight_limit: int | None = None  # bytes
    memory_limit: int | None = None  # bytes
    texts: Mapping[str, str] = field(default_factory=dict, compare=False)  # as written, by name


class UsageError(Exception):
    """A setting that cannot be used; says what to write instead."""


def add_flags(parser: argparse.ArgumentParser) -> None:
    for setting in SETTINGS:
        add_flag(parser, setting)


def add_flag(parser: argparse.ArgumentParser, setting: Setting) -> None:
    parser.add_argument(
        setting.flag,
        metavar="VALUE",
        help=f"{setting.doc} ({setting.variable}, default {setting.default or 'empty'})",
    )


def resolve(arguments: argparse.Namespace, environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings from flags, environment and defaults. Raises UsageError."""
    values = {setting.name: _value(setting, arguments, environ) for setting in SETTINGS}
    data = _path(values["data"], "--data") or Path.cwd()
    return Settings(
        data=data,
        dsn=values["dsn"] or f"chdb://{data / 'db'}",
        cluster=_cluster(values["cluster"], values["database_limit"]),
        otlp_http=_address(values["otlp_http"], "--otlp-http"),
        otlp_grpc=_address(values["otlp_grpc"], "--otlp-grpc"),
        api=_address(values["api"], "--api"),
        clickhouse=_address(values["clickhouse"], "--clickhouse") if values["clickhouse"] else None,
        transactions=_path(values["transactions"], "--transactions"),
        api_keys=_path(values["api_keys"], API_KEYS.flag),
        tls_cert=_path(values["tls_cert"], "--tls-cert"),
        tls_key=_path(values["tls_key"], "--tls-key"),
        cors_origins=_origins(values["cors_origins"]),
        retention=_retention(values["retention"]),
        database_limit=_bytes(values["database_limit"], "--database-limit"),
        spool_limit=_bytes(values["spool_limit"], "--spool-limit"),
        in_flight_limit=_bytes(values["in_flight_limit"], "--in-flight-limit"),
        memory_limit=_bytes(values["memory_limit"], "--memory-limit"),
        texts=values,
    )


def variables(settings: Settings, **others: str) -> dict[str, str]:
    """The environment in which another clew has the same settings, except `others`, by name."""
    texts = {**settings.texts, **others}
    return {setting.variable: texts[setting.name] for setting in SETTINGS}


def api_keys(arguments: argparse.Namespace, environ: Mapping[str, str] = os.environ) -> Path | None:
    """This setting alone."""
    return _path(_value(API_KEYS, arguments, environ), API_KEYS.flag)


def _value(setting: Setting, arguments: argparse.Namespace, environ: Mapping[str, str]) -> str:
    candidates = (getattr(arguments, setting.name, None), environ.get(setting.variable))
    return next((each for each in candidates if each is not None), setting.default)


def _address(text: str, flag: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise UsageError(f"{flag} {text!r}: write host:port, such as 127.0.0.1:0")
    return host.strip("[]") or "127.0.0.1", int(port)


def _path(text: str, flag: str) -> Path | None:
    try:
        return Path(text).expanduser().resolve() if text else None
    except (OSError, RuntimeError) as error:  # a loop of links; a user who has no home
        raise UsageError(f"{flag} {text!r}: {error}") from error


def _cluster(name: str, limit: str) -> str:
    if name and not re.fullmatch(r"[A-Za-z0-9_.-]+", name):
        raise UsageError(f"--cluster {name!r}: write its name as in system.clusters")
    if name and limit:
        raise UsageError("--database-limit: a cluster's disks are kept by --retention alone")
    return name


def _origins(text: str) -> frozenset[str]:
    origins = frozenset(each.strip() for each in text.split(",") if each.strip())
    for origin in origins - {"*"}:
        if not re.fullmatch(r"[a-z][a-z0-9+.-]*://[^\s/?#@*]+", origin):
            raise UsageError(
                f"--cors-origins {origin!r}: write scheme://host or scheme://host:port, or *"
            )
    return origins


def _retention(text: str) -> dict[str, int]:
    """Days by signal; a signal that is not named has the default."""
    if "=" not in text:
        return dict.fromkeys(SIGNALS, _days(text, text))
    named = [entry.strip().partition("=") for entry in text.split(",")]
    days = {signal: _days(value, text) for signal, _, value in named}
    if len(days) < len(named) or not days.keys() <= set(SIGNALS):
        raise UsageError(_RETENTION.format(text))
    return dict.fromkeys(SIGNALS, DEFAULT_DAYS) | days


def _days(value: str, text: str) -> int:
    days = value.strip().removesuffix("d")
    if not (days.isascii() and days.isdecimal()) or not 1 <= int(days) <= 36500:
        raise UsageError(_RETENTION.format(text))
    return int(days)


def _bytes(text: str, flag: str) -> int | None:
    """Bytes; a number alone is MiB; None for the default."""
    if not text:
        return None
    match = re.fullmatch(r"([0-9]{1,12})\s*(MiB|GiB|TiB|)", text.strip())
    if match is None or not 1 <= int(match[1]) <= 1 << (50 - UNITS[match[2]]):
        raise UsageError(f"{flag} {text!r}: write a size such as 50GiB, or a number of MiB")
    return int(match[1]) << UNITS[match[2]]
