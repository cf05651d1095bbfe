"""The limits on bytes in flight and on the spool's size."""

from __future__ import annotations

from pathlib import Path

import pytest

from clew.collector.limits import (
    Footprint,
    InFlight,
    Overloaded,
    default_in_flight_limit,
    default_spool_limit,
)


def test_the_bytes_of_a_request_are_released() -> None:
    in_flight = InFlight(100)
    for _ in range(3):
        with in_flight.request() as request:
            request.take(60)
            request.take(40)
            assert request.size == 100


def test_bytes_above_the_limit_are_refused_and_not_counted() -> None:
    in_flight = InFlight(100)
    with in_flight.request() as first, in_flight.request() as second:
        first.take(80)
        with pytest.raises(Overloaded, match="send again"):
            second.take(21)
        second.take(20)
    with in_flight.request() as third:
        third.take(100)


def test_the_bytes_of_a_request_that_fails_are_released() -> None:
    in_flight = InFlight(10)
    with pytest.raises(ValueError), in_flight.request() as request:
        request.take(10)
        raise ValueError
    with in_flight.request() as request:
        request.take(10)


def test_the_footprint_is_the_size_of_all_files_below_the_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Footprint, "MAX_AGE", 0.0)
    footprint = Footprint(tmp_path, 3 << 20)
    footprint.check()
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "file").write_bytes(b"x" * (3 << 20))
    with pytest.raises(Overloaded, match="holds 3 MiB, its limit is 3 MiB"):
        footprint.check()
    (tmp_path / "below" / "file").unlink()
    footprint.check()


def test_the_default_limits_depend_on_the_machine(tmp_path: Path) -> None:
    assert 128 << 20 <= default_in_flight_limit() <= 1024 << 20
    assert default_spool_limit(tmp_path) > 0
