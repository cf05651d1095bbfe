"""Times, windows and cursors of requests."""

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
    common_parameters,
    extent_parameters,
    parse_time,
    rfc3339,
    split_page,
    sql_time,
    sql_time_from_rfc3339,
)
from clew.api.problems import Problem
from clew.api.rooted_traces import RootedTraces
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
        ("2026-06-01 10:00:00", 1_780_308_000 * SECOND),
        ("2026-06-01T10:00:00", 1_780_308_000 * SECOND),
        ("2026-06-01 10:00:00.25", 1_780_308_000 * SECOND + 250_000_000),
        ("1780308000", 1_780_308_000 * SECOND),
        ("1780308000.000000005", NOW),
        ("1780308000123", 1_780_308_000 * SECOND + 123_000_000),
        ("1780308000123.5", 1_780_308_000 * SECOND + 123_500_000),
        ("1780308000123456", 1_780_308_000 * SECOND + 123_456_000),
        ("1780308000000000005", NOW),
        ("1780308000000000005.9", NOW),
        ("0", 0),
        ("4294900000", LATEST),
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
        "2026-06-01 10:00",
        "2026-06-01T10:00Z",
        "2026-02-30 10:00:00",
        "1e9",
        "1780308000.",
        ".5",
        "17_80308000",
        "4294900001",
        "9999999999999999999",
        "99999999999999999999",
        "\u0661780308000",
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
def test_an_unreadable_time_is_a_problem_that_names_the_parameter(text: str) -> None:
    with pytest.raises(Problem) as problem:
        parse_time(text, NOW, "end")
    assert problem.value.status_code == 400
    assert problem.value.detail.startswith("end=")


@pytest.mark.parametrize("time", [0, 1, NOW, NOW - 1, 999_999_999, LATEST])
def test_a_time_is_the_same_after_writing_and_reading(time: int) -> None:
    assert parse_time(rfc3339(time), 0, "start") == time
    assert sql_time_from_rfc3339(rfc3339(time)) == sql_time(time)


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


@pytest.mark.parametrize("seconds", [1, 59, 3600, 86400, 7 * 86400, 10**9, 4 * 10**9])
@pytest.mark.parametrize("points", [2, 30, 120])
def test_a_window_touches_at_most_so_many_steps(seconds: int, points: int) -> None:
    window = Window(7, 7 + seconds * SECOND)
    for shortest in (1, 60):
        starts = window.starts(window.step_for(points, shortest))
        assert starts.step >= shortest * SECOND
        assert 1 <= len(starts) <= points
        assert starts[0] <= window.start < starts[0] + starts.step
        assert starts[-1] < window.end <= starts[-1] + starts.step


def test_the_widest_window_has_a_step() -> None:
    assert Window(0, LATEST).step == 86400


def test_the_default_is_the_last_hour() -> None:
    common = common_parameters(start="-1h", end="now")
    assert common.window.seconds == 3600
    assert common.position == {}
    earlier = common_parameters(start="-1h", end="2026-06-01T10:00:00Z").window
    assert (earlier.seconds, earlier.end) == (3600, 1_780_308_000 * 10**9)


@pytest.mark.parametrize(
    ("start", "end"), [("now", "now"), ("now", "-1h"), ("2026-06-01T10:00:00Z",) * 2]
)
def test_a_window_has_a_length(start: str, end: str) -> None:
    with pytest.raises(Problem, match="start is not before end"):
        common_parameters(start=start, end=end)


def test_a_cursor_contains_the_position_and_the_window() -> None:
    first_page = common_parameters(start="-1h", end="now")
    cursor = first_page.next_cursor(time="2026-06-01 10:00:00.000000005", id="ab")
    assert cursor.replace("-", "").replace("_", "").isalnum()
    second_page = common_parameters(start="-5m", end="now", cursor=cursor)
    assert second_page.window == first_page.window
    assert second_page.position == {"time": "2026-06-01 10:00:00.000000005", "id": "ab"}


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
def test_a_changed_cursor_is_a_problem(cursor: str) -> None:
    with pytest.raises(Problem) as problem:
        common_parameters(cursor=cursor)
    assert problem.value.status_code == 400


def test_a_page_knows_whether_there_are_more() -> None:
    rows = [{"n": n} for n in range(3)]
    assert split_page(rows, 2) == (rows[:2], True)
    assert split_page(rows, 3) == (rows, False)
    assert split_page([], 3) == ([], False)


def test_the_extent_of_traces() -> None:
    traces = [
        {"start": rfc3339(NOW), "end": rfc3339(NOW + 7)},
        {"start": rfc3339(NOW - 3), "end": rfc3339(NOW + 1)},
    ]
    assert extent_parameters(traces) == Window(NOW - 3, NOW + 7).parameters
    assert (
        extent_parameters(traces, SECOND) == Window(NOW - 3 - SECOND, NOW + 7 + SECOND).parameters
    )
    outside = {"start": "1969-12-31T23:59:59.000000000Z", "end": rfc3339(NOW)}
    assert extent_parameters([outside]) == extent_parameters([*traces, outside]) == ANY_TIME


NUMBERS = Query[Any](STORAGE, "numbers")


class FixedReading:
    """A reading that returns fixed rows, up to the limit."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self._rows = rows
        self.statements = ["SELECT 1"]
        self.in_parallel = None

    def rows(
        self, query: Query[Any], filters: str, forms: None, rows_read: None, *, limit: int
    ) -> list[dict[str, Any]]:
        return self._rows[:limit]


def test_an_answer_is_truncated_when_there_are_more_rows() -> None:
    rows = [{"n": n} for n in range(3)]
    complete = Answer(FixedReading(rows), False, RootedTraces(), None)  # type: ignore[arg-type]
    assert complete.limited_rows(NUMBERS, 3) == rows
    assert complete.document(rows=rows) == {"rows": rows, "truncated": False}
    truncated = Answer(FixedReading(rows), True, RootedTraces(), None)  # type: ignore[arg-type]
    assert truncated.limited_rows(NUMBERS, 2) == rows[:2]
    assert truncated.document() == {"truncated": True, "sql": ["SELECT 1"]}
