"""Every setting of the platform: one row each. A flag goes before the environment, that before the
default."""

from __future__ import annotations

import argparse
import logging
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

logger = logging.getLogger(__name__)


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
    Setting("otlp_http", "127.0.0.1:4318", "address for OTLP over HTTP"),
    Setting("otlp_grpc", "127.0.0.1:4317", "address for OTLP over gRPC"),
    Setting("api", "127.0.0.1:4319", "address for the REST API"),
    Setting(
        "clickhouse", "", "address for the ClickHouse protocol; empty turns it off (not served yet)"
    ),
    API_KEYS,
    Setting("tls_cert", "", "PEM file of the certificate and its chain, for all three addresses"),
    Setting("tls_key", "", "PEM file of the certificate's key"),
    Setting(
        "cors_origins",
        "",
        "origins, comma separated, or *, whose pages may send OTLP over HTTP",
    ),
    Setting("retention", "14d", "how long rows are kept, in days"),
    Setting("spool_limit", "", "MiB that the spool may hold; by default a tenth of its disk"),
    Setting(
        "in_flight_limit",
        "",
        "MiB of requests being received; by default 1/32 of the memory, 128 at least, 1024 at most",
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
    retention: int
    api_keys: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    cors_origins: frozenset[str] = frozenset()
    spool_limit: int | None = None  # bytes
    in_flight_limit: int | None = None  # bytes


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
    if values["clickhouse"]:
        logger.warning("--clickhouse: the ClickHouse protocol is not served yet")
    data = Path(values["data"]).expanduser().resolve()
    return Settings(
        data=data,
        dsn=values["dsn"] or f"chdb://{data / 'db'}",
        otlp_http=_address(values["otlp_http"], "--otlp-http"),
        otlp_grpc=_address(values["otlp_grpc"], "--otlp-grpc"),
        api=_address(values["api"], "--api"),
        retention=_days(values["retention"]),
        api_keys=_path(values["api_keys"]),
        tls_cert=_path(values["tls_cert"]),
        tls_key=_path(values["tls_key"]),
        cors_origins=_origins(values["cors_origins"]),
        spool_limit=_mebibytes(values["spool_limit"], "--spool-limit"),
        in_flight_limit=_mebibytes(values["in_flight_limit"], "--in-flight-limit"),
    )


def api_keys(arguments: argparse.Namespace, environ: Mapping[str, str] = os.environ) -> Path | None:
    """This setting alone."""
    return _path(_value(API_KEYS, arguments, environ))


def _value(setting: Setting, arguments: argparse.Namespace, environ: Mapping[str, str]) -> str:
    candidates = (getattr(arguments, setting.name, None), environ.get(setting.variable))
    return next((each for each in candidates if each is not None), setting.default)


def _address(text: str, flag: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise UsageError(f"{flag} {text!r}: write host:port, such as 127.0.0.1:0")
    return host.strip("[]") or "127.0.0.1", int(port)


def _path(text: str) -> Path | None:
    return Path(text).expanduser().resolve() if text else None


def _origins(text: str) -> frozenset[str]:
    origins = frozenset(each.strip() for each in text.split(",") if each.strip())
    for origin in origins - {"*"}:
        if not re.fullmatch(r"[a-z][a-z0-9+.-]*://[^\s/?#@*]+", origin):
            raise UsageError(
                f"--cors-origins {origin!r}: write scheme://host or scheme://host:port, or *"
            )
    return origins


def _days(text: str) -> int:
    days = text.removesuffix("d")
    if not days.isdecimal() or not 1 <= int(days) <= 36500:
        raise UsageError(f"--retention {text!r}: write a number of days, such as 14d")
    return int(days)


def _mebibytes(text: str, flag: str) -> int | None:
    """Bytes; None for the default."""
    if not text:
        return None
    if not text.isdecimal() or not 1 <= int(text) <= 1 << 30:
        raise UsageError(f"{flag} {text!r}: write a number of MiB, such as 2048")
    return int(text) << 20
