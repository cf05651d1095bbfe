"""The platform's settings: a flag goes before the environment, that before the default."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import pytest

from clew.cli import demo
from clew.cli.settings import (
    SETTINGS,
    Setting,
    Settings,
    UsageError,
    add_flags,
    resolve,
    variables,
)
from clew.shop import fleet


def _resolve(*flags: str, **environ: str) -> Settings:
    parser = argparse.ArgumentParser()
    add_flags(parser)
    return resolve(parser.parse_args(flags), environ)


def test_the_defaults_are_the_documented_ones() -> None:
    settings = _resolve()
    assert settings == Settings(
        data=Path("data").resolve(),
        dsn=f"chdb://{Path('data').resolve()}/db",
        otlp_http=("127.0.0.1", 4318),
        otlp_grpc=("127.0.0.1", 4317),
        api=("127.0.0.1", 4319),
        clickhouse=("127.0.0.1", 8123),
        retention={"traces": 14, "logs": 14, "metrics": 14, "rollups": 90},
    )


def test_a_flag_goes_before_the_environment_and_that_before_the_default(tmp_path: Path) -> None:
    environ = {"CLEW_API": "0.0.0.0:1", "CLEW_RETENTION": "3d", "CLEW_DATA": str(tmp_path)}
    settings = _resolve("--api", "127.0.0.1:2", **environ)
    assert settings.api == ("127.0.0.1", 2)
    assert settings.retention == {"traces": 3, "logs": 3, "metrics": 3, "rollups": 90}
    assert settings.data == tmp_path
    assert settings.dsn == f"chdb://{tmp_path}/db"


def _example(name: str) -> str:
    """A value of the setting that is not its default."""
    numbers = dict.fromkeys(
        (
            "watch_limit",
            "retention",
            "spool_limit",
            "in_flight_limit",
            "memory_limit",
            "database_limit",
        ),
        "5",
    )
    files = dict.fromkeys(("data", "api_keys", "tls_cert", "tls_key"), "/d")
    texts = {
        "dsn": "chdb:///x",
        "clickhouse": "",
        "cors_origins": "https://h:7, http://i",
        "cors_headers": "x-tenant, api-key",
        "cluster": "c",
        "hosts": "clew.example, other",
        "alert_networks": "10.1.0.0/16, fd00::/8",
    }
    return (numbers | files | texts).get(name, "h:7")


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_every_setting_is_a_flag_and_a_variable(setting: Setting) -> None:
    value = _example(setting.name)
    assert _resolve(setting.flag, value) == _resolve(**{setting.variable: value})
    assert _resolve(setting.flag, value) != _resolve()


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_every_setting_is_handed_on_to_another_clew(setting: Setting) -> None:
    settings = _resolve(setting.flag, _example(setting.name))
    assert _resolve(**variables(settings)) == settings
    assert _resolve(**variables(settings, data="/other")).data == Path("/other")


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_the_demo_takes_or_refuses_every_setting(setting: Setting) -> None:
    settings = _resolve(setting.flag, _example(setting.name))
    if setting.name in demo.REFUSED:
        with pytest.raises(UsageError, match=setting.flag):
            demo.run(settings, rate=1, seconds=1)
    else:
        platform = _resolve(**demo.platform_environment(settings))
        transactions = settings.transactions or fleet.TRANSACTIONS.resolve()
        assert platform == replace(settings, transactions=transactions)
        faulty = _resolve(**demo.platform_environment(settings, "bank_slow"))
        alerts = settings.alerts or fleet.ALERTS.resolve()
        assert faulty == replace(platform, alerts=alerts)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:0", ("127.0.0.1", 0)),
        ("0.0.0.0:65535", ("0.0.0.0", 65535)),
        ("localhost:80", ("localhost", 80)),
        (":4318", ("127.0.0.1", 4318)),
        ("[::1]:4318", ("::1", 4318)),
    ],
)
def test_an_address_is_host_and_port(text: str, address: tuple[str, int]) -> None:
    assert _resolve("--otlp-http", text).otlp_http == address


@pytest.mark.parametrize(
    ("flag", "text"),
    [
        ("--otlp-http", ""),
        ("--otlp-http", "4318"),
        ("--otlp-grpc", "localhost"),
        ("--otlp-grpc", "localhost:"),
        ("--api", "localhost:http"),
        ("--api", "localhost:65536"),
        ("--api", "localhost:-1"),
        ("--api", "localhost:\u00b2"),
        ("--retention", ""),
        ("--retention", "0"),
        ("--retention", "-1"),
        ("--retention", "2w"),
        ("--retention", "1.5d"),
        ("--retention", "40000d"),
        ("--retention", "\u00b2d"),
        ("--hosts", "clew.example:4319"),
        ("--hosts", "https://clew.example"),
        ("--hosts", "*.example"),
        ("--cors-headers", "x team"),
        ("--cors-headers", "*"),
        ("--cors-origins", "shop.example"),
        ("--cors-origins", "https://shop.example/"),
        ("--cors-origins", "https://a.example,https://*.example"),
        ("--spool-limit", "0"),
        ("--spool-limit", "1TiBx"),
        ("--in-flight-limit", "1GB"),
        ("--in-flight-limit", "\u00b2GiB"),
        ("--database-limit", "0GiB"),
        ("--database-limit", "9999TiB"),
        ("--database-limit", "-5"),
        ("--cluster", "it's"),
        ("--database-limit", "1.5GiB"),
        ("--retention", "traces=14d,logs"),
        ("--retention", "traces=14d,7d"),
        ("--retention", "traces=1d,traces=2d"),
        ("--retention", "spans=14d"),
        ("--retention", "logs=0"),
        ("--retention", "logs=7d,"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(flag: str, text: str) -> None:
    with pytest.raises(UsageError, match=flag):
        _resolve(flag, text)


def test_a_home_that_is_not_there_is_named() -> None:
    with pytest.raises(UsageError, match="--data '~nobody-of-this-name/x'"):
        _resolve("--data", "~nobody-of-this-name/x")


def test_a_dsn_is_taken_as_it_is() -> None:
    dsn = "clickhouse://user:secret@db:8123/otel"
    assert _resolve("--dsn", dsn, CLEW_DSN="chdb:///elsewhere").dsn == dsn


def test_a_home_directory_is_expanded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert _resolve("--data", "~/clew").data == tmp_path / "clew"


def test_the_clickhouse_address_can_be_none() -> None:
    assert _resolve("--clickhouse", "").clickhouse is None
    assert _resolve("--clickhouse", "127.0.0.1:0").clickhouse == ("127.0.0.1", 0)


def test_retention_is_one_for_all_or_by_signal() -> None:
    assert _resolve().retention == {"traces": 14, "logs": 14, "metrics": 14, "rollups": 90}
    assert _resolve("--retention", "traces=2d, logs=7").retention == {
        "traces": 2, "logs": 7, "metrics": 14, "rollups": 90,
    }  # fmt: skip
    assert _resolve("--retention", "365d").retention["rollups"] == 365
    assert _resolve("--retention", "rollups=30d").retention["rollups"] == 30


@pytest.mark.parametrize(
    ("text", "size"),
    [("", None), ("1", 1 << 20), ("2048", 2 << 30), ("50GiB", 50 << 30), ("3 MiB", 3 << 20),
     ("2TiB", 2 << 40)],
)  # fmt: skip
@pytest.mark.parametrize(
    "limit", ["database_limit", "spool_limit", "in_flight_limit", "memory_limit"]
)
def test_a_limit_is_a_size(limit: str, text: str, size: int | None) -> None:
    assert getattr(_resolve(f"--{limit.replace('_', '-')}", text), limit) == size
