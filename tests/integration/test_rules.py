"""The SQL functions that hold rules of the domain agree with each other and with Python."""

from __future__ import annotations

import re
from typing import Any

import pytest

from boards import slo
from clew.analysis.traces.paths import CODES, CONSUMER, SERVER, TimedSpan
from clew.api.defined_transactions import APDEX_TARGET_MS, BURN_WINDOWS, burn_rate
from clew.api.trace_view import ERRORS
from clew.storage import Store

KINDS = [*CODES, "Internal", "SPAN_KIND_INTERNAL", "Unspecified", ""]
SECONDS = {"h": 3600, "d": 86400}


def value(store: Store, expression: str, **parameters: Any) -> Any:
    with store.client() as client:
        ((result,),) = client.query(f"SELECT {expression}", parameters=parameters).result_rows
    return result


def test_errors_are_those_of_the_trace_view(engine: Store) -> None:
    codes = [*ERRORS, "Ok", "STATUS_CODE_OK", "Unset", "STATUS_CODE_UNSET", "", "error"]
    flags = value(
        engine, "arrayMap(code -> clew_is_error(code), {codes:Array(String)})", codes=codes
    )
    assert flags == [code in ERRORS for code in codes]


def test_kinds_and_ranks_are_those_of_paths(engine: Store) -> None:
    entry_kinds = value(
        engine, "arrayMap(kind -> clew_is_entry_kind(kind), {kinds:Array(String)})", kinds=KINDS
    )
    assert entry_kinds == [CODES.get(kind) in (SERVER, CONSUMER) for kind in KINDS]
    for parent in ("", "b7ad6b7169203331"):
        ranks = value(
            engine,
            "arrayMap(kind -> clew_entry_rank({parent:String}, kind), {kinds:Array(String)})",
            parent=parent,
            kinds=KINDS,
        )
        assert ranks == [TimedSpan("", parent, kind, 0, 0).rank for kind in KINDS]


def test_a_kind_has_one_name_in_either_spelling(engine: Store) -> None:
    names = value(
        engine, "arrayMap(kind -> clew_kind_name(kind), {kinds:Array(String)})", kinds=KINDS
    )
    assert names == [kind.removeprefix("SPAN_KIND_").lower() for kind in KINDS]


@pytest.mark.parametrize(
    "start", ["1970-01-01 00:00:00", "2026-11-28 12:34:56.789012345", "2116-02-20 23:53:38"]
)
@pytest.mark.parametrize("rank", [0, 1, 2])
def test_an_entry_key_holds_rank_and_start(engine: Store, rank: int, start: str) -> None:
    columns = (
        "clew_entry_key({rank:UInt8}, {start:DateTime64(9)}) AS key",
        "clew_entry_start(key) = {start:DateTime64(9)}",
        "clew_is_rootless(key)",
        "clew_has_entry(key)",
        "clew_entry_key(1, {start:DateTime64(9)}) = clew_rootless_key({start:DateTime64(9)})",
        "key < clew_entry_key({rank:UInt8} + 1, toDateTime64(0, 9))",
    )
    _, *facts = value(engine, f"tuple({', '.join(columns)})", rank=rank, start=start)
    assert facts == [1, rank > 0, rank < 2, 1, 1]


def test_burn_windows_have_the_names_of_the_api_and_of_the_dashboard(engine: Store) -> None:
    windows = value(engine, "clew_burn_windows()")
    for names in (BURN_WINDOWS, slo.BURN_WINDOWS):
        parts = [re.fullmatch(r"(\d+) ?([hd])\w*", name) for name in names]
        assert [int(part[1]) * SECONDS[part[2]] for part in parts if part] == windows


@pytest.mark.parametrize(("bad", "total"), [(0, 0), (0, 7), (3, 7), (7, 7)])
@pytest.mark.parametrize("objective", [0.5, 0.995])
def test_the_burn_rate_is_that_of_the_api(
    engine: Store, bad: int, total: int, objective: float
) -> None:
    rate = value(
        engine,
        "clew_burn_rate({bad:UInt64}, {total:UInt64}, {objective:Float64})",
        bad=bad,
        total=total,
        objective=objective,
    )
    assert rate == burn_rate(bad, total, objective)


@pytest.mark.parametrize(
    ("is_error", "nanoseconds", "latency", "is_good"),
    [
        (False, 5, "5", True),
        (False, 6, "5", False),
        (True, 1, "5", False),
        (False, 2**62, "inf", True),
        (True, 0, "inf", False),
    ],
)
def test_an_occurrence_is_good_without_an_error_and_within_the_latency(
    engine: Store, is_error: bool, nanoseconds: int, latency: str, is_good: bool
) -> None:
    assert is_good == value(
        engine,
        "clew_is_good({is_error:Bool}, {nanoseconds:UInt64}, {latency:Float64})",
        is_error=is_error,
        nanoseconds=nanoseconds,
        latency=latency,
    )


def test_apdex_counts_four_times_the_target_as_tolerating(engine: Store) -> None:
    target = int(APDEX_TARGET_MS * 1e6)
    durations = [0, target, target + 1, 4 * target, 4 * target + 1]
    flags = value(
        engine,
        "arrayMap(duration -> (clew_is_satisfied(duration), clew_is_tolerating(duration)), "
        "{durations:Array(UInt64)})",
        durations=durations,
    )
    assert flags == [(1, 0), (1, 0), (0, 1), (0, 1), (0, 0)]
