"""Which traces the settler looks at next."""

from __future__ import annotations

from clew.analysis.traces.settler import AT_ONCE, MOST_ONE_IN, QUIET, REMEMBERED, Course
from clew.analysis.traces.settling import LAST_SECOND


def test_a_window_begins_before_what_may_still_appear() -> None:
    course = Course(low=1000)
    window = course.window(1010.5, [(1003, 5), (1009, 7)])
    assert (window.since, window.until, window.one_in) == (1000, LAST_SECOND, 1)
    course.done(window, now=1010.5, oldest_insert=1006.2)
    assert (course.low, course.frontier) == (1005, 1009)
    window = course.window(1020.0, [(1012, 1)])
    assert window.since == 1005
    assert (window.quiet_since, window.quiet_until) == (1009 - QUIET, 1019 - QUIET)
    assert not course.is_quiet
    course.done(course.window(1100.0, []), 1100.0, 1100.0)
    assert course.is_quiet


def test_what_is_behind_comes_in_pieces() -> None:
    course = Course(low=0)
    pending = [(second, AT_ONCE // 4) for second in range(100, 200)]
    window = course.window(200, pending)
    assert (window.until, window.one_in) == (104, 1)
    assert course.is_behind
    course.done(window, 200, 200)
    assert (course.low, course.frontier) == (104, 104)


def test_when_more_comes_than_is_settled_only_a_part_is() -> None:
    course, now, drawn = Course(low=1000), 1001.0, []
    for _ in range(12):  # twice as many a second as a pass takes, and a pass takes ten seconds
        now += 10
        pending = [(second, 2 * AT_ONCE) for second in range(int(course.frontier), int(now))]
        window = course.window(now, pending)
        course.done(window, now, now)
        drawn.append(window.one_in)
    assert drawn[0] == 1
    assert 16 <= drawn[-1] <= MOST_ONE_IN
    assert window.thinned == max(drawn)
    now += 1
    one_in = [course.window(now, []).one_in for _ in range(8)]
    assert one_in[-1] == 1
    assert course.window(now, []).thinned == max(drawn)  # of those who were passed over
    assert course.window(now + 2 * REMEMBERED, []).thinned == 1
