"""Times, windows and cursors as requests write them."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from clew.api.answer import Answer
from clew.api.parameters import (
    ANY_TIME,
    LATEST,
    SECOND,
    Window,
    as_parameter,
    common,
    extent,
    page,
    parse_time,
    rfc3339,
    time_parameter,
)
from clew.api.problems import Problem
from clew.storage.sql import STORAGE, Query

NOW = 1_780_308_000 * SECOND + 5
MINUTE = 60 * SECOND


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("now", NOW),
        ("-30s", NOW - 30 * SECOND),
        ("-15m", NOW - 15 * MINUTE),
        ("now-15m", NOW - 15 * MINUTE),
        ("-1h", NOW - 60 * MINUTE),
        ("-2d", NOW - 48 * 60 * MINUTE),
        ("-1w", NOW - 7 * 24 * 60 * MINUTE),
        ("-0s", NOW),
        ("-999999999w", 0),
        ("1970-01-01T00:00:00Z", 0),
        ("2026-06-01T10:00:00Z", 1_780_308_000 * SECOND),
        ("2026-06-01t10:00:00z", 1_780_308_000 * SECOND),
        ("2026-06-01 10:00:00Z", 1_780_308_000 * SECOND),
        ("2026-06-01T12:00:00+02:00", 1_780_308_000 * SECOND),
        ("2026-06-01T12:00:00 02:00", 1_780_308_000 * SECOND),
        ("2026-06-01T04:30:00-05:30", 1_780_308_000 * SECOND),
        ("2026-06-01T10:00:00.5Z", 1_780_308_000 * SECOND + 500_000_000),
        ("2026-06-01T10:00:00.000000001Z", 1_780_308_000 * SECOND + 1),
        ("2026-06-01T10:00:00.0000000019Z", 1_780_308_000 * SECOND + 1),
    ],
)
def test_a_time_is_read_to_the_nanosecond(text: str, time: int) -> None:
    assert parse_time(text, NOW, "start") == time


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "15m",
        "+15m",
        "--15m",
        "-15",
        "-15y",
        "-1.5h",
        "-\u0661m",
        "-9999999999s",
        "now+1h",
        "now ",
        "now\n",
        "2026-06-01",
        "2026-06-01T10:00:00",
        "2026-06-01T10:00Z",
        "2026-13-01T10:00:00Z",
        "2026-02-30T10:00:00Z",
        "2026-06-01T25:00:00Z",
        "2026-06-01T10:00:61Z",
        "2026-06-01T10:00:00+25:00",
        "2026-06-01T10:00:00.Z",
        "\u0662\u0660\u0662\u0666-06-01T10:00:00Z",
        "1969-12-31T23:59:59Z",
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-23:59",
        "2200-01-01T00:00:00Z",
        "'; DROP TABLE otel.otel_traces; --",
        "2026-06-01T10:00:00Z\x00",
    ],
)
def test_what_is_no_time_is_a_problem_that_names_the_parameter(text: str) -> None:
    with pytest.raises(Problem) as problem:
        parse_time(text, NOW, "end")
    assert problem.value.status_code == 400
    assert problem.value.detail.startswith("end=")


@pytest.mark.parametrize("time", [0, 1, NOW, NOW - 1, 999_999_999, LATEST])
def test_a_time_survives_being_written_and_read(time: int) -> None:
    assert parse_time(rfc3339(time), 0, "start") == time
    assert time_parameter(rfc3339(time)) == as_parameter(time)


def test_a_time_is_written_as_rfc_3339_with_nanoseconds() -> None:
    assert rfc3339(NOW) == "2026-06-01T10:00:00.000000005Z"
    assert datetime.fromisoformat(rfc3339(NOW)) == datetime(2026, 6, 1, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("minutes", "step"),
    [(0.1, 60), (60, 60), (120, 60), (121, 120), (60 * 24, 900), (60 * 24 * 30, 21600)],
)
def test_a_series_has_whole_minutes_and_at_most_120_points(minutes: float, step: int) -> None:
    window = Window(NOW, NOW + int(minutes * MINUTE))
    assert window.step == step
    assert window.seconds / step <= 120


def test_the_widest_window_has_a_step_too() -> None:
    assert Window(0, LATEST).step == 86400


def test_the_default_is_the_last_hour() -> None:
    asked = common(start="-1h", end="now")
    assert asked.window.seconds == 3600
    assert asked.after == {}


@pytest.mark.parametrize(
    ("start", "end"), [("now", "now"), ("now", "-1h"), ("2026-06-01T10:00:00Z",) * 2]
)
def test_a_window_has_a_length(start: str, end: str) -> None:
    with pytest.raises(Problem, match="start is not before end"):
        common(start=start, end=end)


def test_a_cursor_brings_back_where_the_page_ended_and_the_window() -> None:
    first = common(start="-1h", end="now")
    cursor = first.next_cursor(time="2026-06-01 10:00:00.000000005", id="ab")
    assert cursor.replace("-", "").replace("_", "").isalnum()
    second = common(start="-5m", end="now", cursor=cursor)
    assert second.window == first.window
    assert second.after == {"time": "2026-06-01 10:00:00.000000005", "id": "ab"}


def _cursor(position: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(position).encode()).decode().rstrip("=")


GOOD = {"start": 1, "end": 2}


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "!",
        "\u00e9",
        "====",
        base64.b64encode(b"\xff\xfe").decode(),
        base64.b64encode(b"[" * 100_000).decode(),
        base64.b64encode(b'{"start": 1' + b"0" * 10_000 + b', "end": 2}').decode(),
        _cursor(None),
        _cursor([]),
        _cursor([["start", 1]]),
        _cursor("text"),
        _cursor({}),
        _cursor({"start": 1}),
        _cursor({"start": "1", "end": "2"}),
        _cursor({"start": 1.0, "end": 2.0}),
        _cursor({"start": True, "end": 2}),
        _cursor({"start": float("inf"), "end": float("inf")}),
        _cursor({"start": -1, "end": 2}),
        _cursor({"start": 1, "end": LATEST + 1}),
        _cursor({"start": 2, "end": 1}),
        _cursor(GOOD | {"time": "now"}),
        _cursor(GOOD | {"time": 5}),
        _cursor(GOOD | {"time": "2026-06-01 10:00:00.000000005'"}),
        _cursor(GOOD | {"count": "5"}),
        _cursor(GOOD | {"count": -1}),
        _cursor(GOOD | {"count": 2**64}),
        _cursor(GOOD | {"id": 5}),
        _cursor(GOOD | {"id": ["x"]}),
        _cursor(GOOD | {"more": 1}),
    ],
)
def test_a_cursor_that_nobody_gave_out_is_a_problem(cursor: str) -> None:
    with pytest.raises(Problem) as problem:
        common(cursor=cursor)
    assert problem.value.status_code == 400


def test_a_page_tells_whether_there_is_another() -> None:
    rows = [{"n": n} for n in range(3)]
    assert page(rows, 2) == (rows[:2], True)
    assert page(rows, 3) == (rows, False)
    assert page([], 3) == ([], False)


def test_the_extent_of_traces_is_from_the_first_start_to_the_last_end() -> None:
    traces = [
        {"start": rfc3339(NOW), "end": rfc3339(NOW + 7)},
        {"start": rfc3339(NOW - 3), "end": rfc3339(NOW + 1)},
    ]
    assert extent(traces) == Window(NOW - 3, NOW + 7).parameters
    assert extent(traces, SECOND) == Window(NOW - 3 - SECOND, NOW + 7 + SECOND).parameters
    off = {"start": "1969-12-31T23:59:59.000000000Z", "end": rfc3339(NOW)}
    assert extent([off]) == extent([*traces, off]) == ANY_TIME


NUMBERS = Query[Any](STORAGE, "numbers")


class _Rows:
    """A reading that has the rows it is given, within the limit it is asked for."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self._rows = rows
        self.statements = ["SELECT 1"]
        self.together = None

    def rows(
        self, query: Query[Any], filters: str, forms: None, *, limit: int
    ) -> list[dict[str, Any]]:
        return self._rows[:limit]


def test_an_answer_that_was_cut_says_so() -> None:
    rows = [{"n": n} for n in range(3)]
    whole = Answer(_Rows(rows), explain=False)  # type: ignore[arg-type]
    assert whole.most(NUMBERS, 3) == rows
    assert whole.of(rows=rows) == {"rows": rows, "truncated": False}
    cut = Answer(_Rows(rows), explain=True)  # type: ignore[arg-type]
    assert cut.most(NUMBERS, 2) == rows[:2]
    assert cut.of() == {"truncated": True, "sql": ["SELECT 1"]}
