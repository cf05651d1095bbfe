"""Maintenance windows in their time zones, and across changes of the clocks."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clew.analysis.alerts.windows import DAYS, parse_every, zone_of

BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str, zone: ZoneInfo = BERLIN, fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold).timestamp()


@pytest.mark.parametrize(
    ("every", "inside", "outside"),
    [
        (
            "Sun 02:00-04:00",
            ["2026-11-29T02:00", "2026-11-29T03:59"],
            ["2026-11-29T01:59", "2026-11-29T04:00", "2026-11-30T03:00"],
        ),
        (
            "Mon-Fri 22:00-06:00",
            ["2026-11-27T23:00", "2026-11-28T05:59", "2026-11-24T00:00"],
            ["2026-11-28T22:30", "2026-11-27T21:59", "2026-11-30T05:00"],
        ),
        ("02:00-03:00", ["2026-11-25T02:30", "2026-11-29T02:30"], ["2026-11-25T03:00"]),
        (
            "Sat,Sun 00:00-24:00",
            ["2026-11-28T00:00", "2026-11-29T23:59"],
            ["2026-11-27T23:59", "2026-11-30T00:00"],
        ),
        ("Fri-Mon 10:00-11:00", ["2026-11-29T10:00", "2026-11-30T10:00"], ["2026-12-01T10:00"]),
        ("Wed 08:00-08:00", ["2026-11-25T08:00", "2026-11-26T07:59"], ["2026-11-26T08:00"]),
    ],
)
def test_times_in_and_out_of_a_window(every: str, inside: list[str], outside: list[str]) -> None:
    window = parse_every(every)
    assert [text for text in inside if not window.contains(at(text), BERLIN)] == []
    assert [text for text in outside if window.contains(at(text), BERLIN)] == []


def test_a_skipped_hour_begins_the_window_at_the_change() -> None:
    """On 2026-03-29 the clocks in Berlin go from 02:00 to 03:00."""
    change = at("2026-03-29T03:00")
    window = parse_every("Sun 02:30-04:00")
    assert window.contains(change, BERLIN)
    assert not window.contains(change - 1, BERLIN)
    assert window.contains(at("2026-03-29T03:59"), BERLIN)
    ends_in_it = parse_every("Sun 01:00-02:30")
    assert ends_in_it.contains(change - 1, BERLIN)
    assert not ends_in_it.contains(change, BERLIN)


def test_a_repeated_hour_is_in_the_window_both_times() -> None:
    """On 2026-10-25 the clocks in Berlin go from 03:00 back to 02:00."""
    window = parse_every("Sun 02:15-02:45")
    for fold in (0, 1):
        assert window.contains(at("2026-10-25T02:30", fold=fold), BERLIN)
    assert not window.contains(at("2026-10-25T02:10", fold=0), BERLIN)
    assert not window.contains(at("2026-10-25T02:50", fold=1), BERLIN)


@pytest.mark.parametrize(
    "text",
    [
        *("", "Sun", "02:00", "Son 02:00-04:00", "Sun 2-4", "Sun 25:00-26:00"),
        *("Sun 02:60-04:00", "Sun 24:00-01:00", "Sun 02:00-04:00 UTC", "Sun,, 02:00-04:00"),
    ],
)
def test_texts_that_are_no_window(text: str) -> None:
    with pytest.raises(ValueError, match=r"write|starts before"):
        parse_every(text)


@pytest.mark.parametrize("name", ["Europe/Berlyn", "", "../etc/passwd", "a\0b"])
def test_names_that_are_no_zone(name: str) -> None:
    with pytest.raises(ValueError, match="is not a time zone"):
        zone_of(name)


@given(
    st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"]),
    st.sampled_from(DAYS),
    st.integers(0, 1439),
    st.integers(0, 1440),
    st.integers(1_770_000_000, 1_800_000_000),
)
@settings(max_examples=200, deadline=None)
def test_a_window_contains_what_its_local_times_say(
    zone: str, day: str, start: int, end: int, seconds: int
) -> None:
    """Away from changes of the clocks: compared with the time of day alone."""
    local = datetime.fromtimestamp(seconds, ZoneInfo(zone))
    minute = local.hour * 60 + local.minute
    near_change = any(
        datetime.fromtimestamp(seconds + hours * 3600, ZoneInfo(zone)).utcoffset()
        != local.utcoffset()
        for hours in range(-49, 50, 7)
    )
    if near_change:
        return
    window = parse_every(f"{day} {start // 60}:{start % 60:02}-{end // 60}:{end % 60:02}")
    today, before = (local.weekday() == d for d in (DAYS.index(day), (DAYS.index(day) + 1) % 7))
    if end > start:
        expected = today and start <= minute < end
    else:
        expected = (today and minute >= start) or (before and minute < end)
    assert window.contains(seconds, ZoneInfo(zone)) == expected
