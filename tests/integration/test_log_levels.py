"""The level of a log record: one scale for what loggers write as severity, in SQL and in the API."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from clew.storage import Ingest, Store
from clew.storage.migrations import statement
from support.api_client import ApiClient
from support.loading import rows
from support.reference import rfc3339
from support.traffic import SECOND, Loader

BEGAN = 1_780_308_000 * SECOND
WINDOW = {"start": rfc3339(BEGAN), "end": rfc3339(BEGAN + 60 * SECOND)}
LEVELS = {"trace": 1, "debug": 5, "info": 9, "warn": 13, "error": 17, "fatal": 21, "": 0}
# Texts of loggers, by level.
TEXTS = {
    "trace": ("TRACE", "trace4", "FINEST", "trc"),
    "debug": ("Debug", "DBG", "[debug]", "FINE", "Verbose", "D", "DEBUG2"),
    "info": (
        "INFO",
        "Information",
        "informational",
        "notice",
        "I",
        "INFO3",
        "LogLevel.Information",
    ),
    "warn": ("warn", "WARNING", "Warning", "wrn", "W", "<warn>"),
    "error": ("error", "ERR", "E", "SEVERE", "Level.ERROR", "ERROR 3", "[ERR ] "),
    "fatal": ("FATAL", "critical", "crit", "emerg", "EMERGENCY", "alert", "Panic", "F", "ftl"),
    "": ("", "audit", "42", "!", "\\N", "(E)", "предупреждение"),
}


def records(*severities: tuple[int, str], event: str = "") -> ExportLogsServiceRequest:
    request = ExportLogsServiceRequest()
    scope = request.resource_logs.add().scope_logs.add()
    for number, text in severities:
        scope.log_records.add(
            time_unix_nano=BEGAN,
            severity_number=number,  # type: ignore[arg-type] # 255 is sent as it is
            severity_text=text,
            event_name=event,
        )
    return request


@pytest.mark.parametrize("level", TEXTS)
def test_a_text_is_a_level_in_the_spellings_of_loggers(engine: Store, level: str) -> None:
    parameters = {"texts": list(TEXTS[level])}
    with engine.client() as client:
        answer = client.query(
            "SELECT text, clew_level(0, text), clew_level_name(clew_level(0, text)) "
            "FROM (SELECT arrayJoin({texts:Array(String)}) AS text)",
            parameters=parameters,
        )
    assert answer.result_rows == [(text, LEVELS[level], level) for text in TEXTS[level]]


def test_the_number_decides_and_is_stored_as_sent(
    store: Store, ingest: Ingest, tmp_path: Path
) -> None:
    names = ("trace", "debug", "info", "warn", "error", "fatal")
    sent = [(number, "Information") for number in range(1, 25)] + [(0, "err"), (200, "err")]
    Loader(ingest, tmp_path).request("logs", records(*sent))
    stored = rows(store, "SELECT * FROM otel.otel_logs ORDER BY SeverityNumber")
    levels = {row["SeverityNumber"]: row["Level"] for row in stored}
    assert levels == {
        number: LEVELS[names[(number - 1) // 4]] if 1 <= number <= 24 else LEVELS["error"]
        for number, _ in sent
    }
    assert {row["SeverityText"] for row in stored} == {"Information", "err"}
    logs = ApiClient(store).get("/api/v1/logs", severity="warn", **WINDOW)["logs"]
    assert {log["severity_number"] for log in logs} == {13, 14, 15, 16}
    assert {log["level"] for log in logs} == {"warn"}


def test_rows_of_other_writers_and_of_older_parts_have_a_level(store: Store) -> None:
    insert = (
        "INSERT INTO otel.otel_logs (Timestamp, ServiceName, SeverityNumber, SeverityText, Body) "
        f"VALUES (fromUnixTimestamp64Nano({BEGAN}), 's', 0, 'crit', '{{}}')"
    )
    column = next(
        row["column_default"]
        for row in rows(
            store,
            "SELECT default_expression AS column_default FROM system.columns "
            "WHERE database = 'otel' AND table = 'otel_logs' AND name = 'Level'",
        )
    )
    with store.client() as client:
        client.command("DROP VIEW otel.clew_log_templates_view")  # it reads the column
        client.command("ALTER TABLE otel.otel_logs DROP COLUMN Level")
        client.command(insert.format("older"))
        client.command(f"ALTER TABLE otel.otel_logs ADD COLUMN Level UInt8 DEFAULT {column}")
        client.command(insert.format("newer"))
        client.command(statement("clew_log_templates_view"))
    logs = ApiClient(store).get("/api/v1/logs", severity="fatal", **WINDOW)["logs"]
    assert {log["body"] for log in logs} == {"older", "newer"}


def test_a_record_without_a_text_shows_the_name_of_its_level(
    store: Store, ingest: Ingest, tmp_path: Path
) -> None:
    Loader(ingest, tmp_path).request("logs", records((18, ""), (0, "")))
    logs = ApiClient(store).get("/api/v1/logs", **WINDOW)["logs"]
    shown = {(log["severity"], log["severity_number"], log["level"]) for log in logs}
    assert shown == {("ERROR", 18, "error"), ("", 0, "")}


def test_an_event_is_found_by_its_name(store: Store, ingest: Ingest, tmp_path: Path) -> None:
    loader = Loader(ingest, tmp_path)
    loader.request("logs", records((9, ""), event="device.app.lifecycle"))
    loader.request("logs", records((9, ""), event="device.crash"))
    api = ApiClient(store)

    def names(**parameters: Any) -> list[str]:
        return sorted(
            log["event_name"] for log in api.get("/api/v1/logs", **WINDOW, **parameters)["logs"]
        )

    assert names() == ["device.app.lifecycle", "device.crash"]
    assert names(event_name="device.crash") == ["device.crash"]
    assert names(event_name="crash") == []
