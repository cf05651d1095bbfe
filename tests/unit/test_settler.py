"""Which traces the settler looks at next."""

from __future__ import annotations

from clew.analysis.traces.cursor import MOST_ONE_IN, QUIET, REMEMBERED, TRACES_AT_ONCE, InsertCursor
from clew.analysis.traces.times import LAST_SECOND


def test_a_window_begins_before_what_may_still_appear() -> None:
    cursor = InsertCursor(1000)
    window = cursor.window(1010.5, [(1003, 5), (1009, 7)])
    assert (window.since, window.until, window.one_in) == (1000, LAST_SECOND, 1)
    cursor.advance(window, now=1010.5, oldest_insert=1006.2)
    assert (cursor.oldest_possible, cursor.settled_up_to) == (1005, 1009)
    window = cursor.window(1020.0, [(1012, 1)])
    assert window.since == 1005
    assert (window.quiet_since, window.quiet_until) == (1009 - QUIET, 1019 - QUIET)
    assert not cursor.is_quiet
    cursor.advance(cursor.window(1100.0, []), 1100.0, 1100.0)
    assert cursor.is_quiet


def test_what_is_behind_comes_in_pieces() -> None:
    cursor = InsertCursor(0)
    pending = [(second, TRACES_AT_ONCE // 4) for second in range(100, 200)]
    window = cursor.window(200, pending)
    assert (window.until, window.one_in) == (104, 1)
    assert cursor.is_behind
    cursor.advance(window, 200, 200)
    assert (cursor.oldest_possible, cursor.settled_up_to) == (104, 104)


def test_when_more_comes_than_is_settled_only_a_part_is() -> None:
    cursor, now, drawn = InsertCursor(1000), 1001.0, []
    for _ in range(12):  # twice as many a second as a pass takes, and a pass takes ten seconds
        now += 10
        pending = [
            (second, 2 * TRACES_AT_ONCE) for second in range(int(cursor.settled_up_to), int(now))
        ]
        window = cursor.window(now, pending)
        cursor.advance(window, now, now)
        drawn.append(window.one_in)
    assert drawn[0] == 1
    assert 16 <= drawn[-1] <= MOST_ONE_IN
    assert window.thinned == max(drawn)
    now += 1
    one_in = [cursor.window(now, []).one_in for _ in range(8)]
    assert one_in[-1] == 1
    assert cursor.window(now, []).thinned == max(drawn)  # of those who were passed over
    assert cursor.window(now + 2 * REMEMBERED, []).thinned == 1
