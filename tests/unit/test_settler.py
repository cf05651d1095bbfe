"""Which traces the next pass of the settler settles."""

from __future__ import annotations

from clew.analysis.traces.cursor import (
    MAX_ONE_IN,
    PASS_TRACES,
    QUIET_SECONDS,
    RECENT_SECONDS,
    RECENT_TRACES,
    SAMPLING_MEMORY,
    InsertCursor,
)
from clew.analysis.traces.times import LAST_SECOND


def test_a_window_starts_before_rows_that_may_still_become_visible() -> None:
    cursor = InsertCursor(1000)
    window = cursor.window(1010.5, [(1003, 5), (1009, 7)])
    assert (window.since, window.until, window.one_in) == (1000, LAST_SECOND, 1)
    cursor.advance(window, now=1010.5, oldest_insert=1006.2)
    assert (cursor.oldest_possible, cursor.settled_up_to) == (1005, 1009)
    window = cursor.window(1020.0, [(1012, 1)])
    assert window.since == 1005
    assert (window.quiet_since, window.quiet_until) == (1009 - QUIET_SECONDS, 1019 - QUIET_SECONDS)
    assert not cursor.is_quiet
    cursor.advance(cursor.window(1100.0, []), 1100.0, 1100.0)
    assert cursor.is_quiet


def test_a_backlog_is_settled_in_several_passes() -> None:
    cursor = InsertCursor(0)
    pending = [(second, PASS_TRACES // 4) for second in range(100, 200)]
    window = cursor.window(200, pending)
    assert (window.until, window.one_in) == (104, 1)
    assert cursor.is_behind
    cursor.advance(window, 200, 200)
    assert (cursor.oldest_possible, cursor.settled_up_to) == (104, 104)
    # However long the passes take, no trace is left out while the backlog shrinks.
    now = 200.0
    while cursor.is_behind:
        now += 600
        window = cursor.window(now, [each for each in pending if each[0] >= cursor.settled_up_to])
        cursor.advance(window, now, now)
        assert window.one_in == 1


def test_a_backlog_is_caught_up_with_unless_many_traces_arrive() -> None:
    now, backlog = 200, [(second, PASS_TRACES) for second in range(100, 110)]
    for arriving, is_catching_up in ((0, True), (RECENT_TRACES, False), (RECENT_TRACES - 1, True)):
        cursor = InsertCursor(0)
        pending = [*backlog, (now - RECENT_SECONDS, RECENT_TRACES), (now - 5, arriving)]
        assert cursor.window(now, pending).until == 101
        assert (cursor.is_behind, cursor.is_catching_up) == (True, is_catching_up)
    cursor = InsertCursor(0)
    cursor.window(now, [(100, PASS_TRACES - 1)])
    assert (cursor.is_behind, cursor.is_catching_up) == (False, False)


def test_under_overload_a_share_of_the_traces_is_settled() -> None:
    cursor, now, shares = InsertCursor(1000), 1001.0, []
    for _ in range(12):  # a pass takes 10 s, and every second traces for two passes arrive
        now += 10
        pending = [
            (second, 2 * PASS_TRACES) for second in range(int(cursor.settled_up_to), int(now))
        ]
        window = cursor.window(now, pending)
        cursor.advance(window, now, now)
        shares.append(window.one_in)
    assert shares[0] == 1
    assert 16 <= shares[-1] <= MAX_ONE_IN
    assert window.sampling is not None
    assert window.sampling.one_in == max(shares)
    now += 1
    one_in = [cursor.window(now, []).one_in for _ in range(8)]
    assert one_in[-1] == 1
    # Traces that were skipped stay skipped.
    assert cursor.window(now, []).sampling == window.sampling._replace(until=now)
    assert cursor.window(now + 2 * SAMPLING_MEMORY, []).sampling is None
