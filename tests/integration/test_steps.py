"""Every step over settled traces: it can be run again, and its tables are known to retention."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any, cast

import pytest

from clew.analysis.steps import Interval
from clew.analysis.traces.settler import SETTLER_ROW
from clew.analysis.traces.settling import Settling, Window, settler_statements
from clew.analysis.traces.times import LAST_SECOND
from clew.cli.parts.analysis import steps_of
from clew.storage import SIGNALS, Ingest, Store
from support.loading import Running, rows
from support.repeated import n_plus_one
from support.traffic import MINUTE, SECOND, Loader, Process, tangle

STEPS = steps_of(cast(Any, None), cast(Any, None))
PROCESSES = [Process(name, f"{name}-1", "prod") for name in ("shop", "stock", "pay")]
BEGAN = 1_700_000_000 * SECOND
COLUMNS_OF_A_RUN = ("Version", "InsertedAt")  # they differ from run to run, and nothing else does


def test_names_are_their_own() -> None:
    names = [step.name for step in STEPS]
    assert len({*names, SETTLER_ROW}) == len(names) + 1
    assert all(step.every > 0 for step in STEPS)


@pytest.mark.parametrize("number", range(len(STEPS)), ids=[step.name for step in STEPS])
def test_a_step_that_is_run_again_leaves_the_same_rows(
    store: Store, ingest: Ingest, tmp_path: Path, number: int
) -> None:
    load_settled_traces(store, Loader(ingest, tmp_path))
    before = analysis_rows(store)
    run(store, number)
    once = analysis_rows(store)
    assert once != before, (
        "it wrote no row into clew_findings or a table that a Signal's `derived` names"
    )
    run(store, number)
    assert analysis_rows(store) == once


def run(store: Store, number: int) -> None:
    """Run a step over everything, as after a restart."""
    statements = settler_statements(store)
    step = steps_of(store, statements)[number]
    version = Settling(store, statements).next_version()
    step.run(Interval(0, LAST_SECOND, version), Running())


def load_settled_traces(store: Store, loader: Loader) -> None:
    choice = random.Random(1)
    for minute in range(3):
        at = BEGAN + minute * MINUTE
        loader.spans(span for _ in range(20) for span in tangle(choice, PROCESSES, 5, at))
    settling = Settling(store)
    everything = {"since": 0, "until": 1 << 32, "quiet_since": 0, "quiet_until": 1 << 32}
    for number in range(3):
        loader.spans(n_plus_one(f"{number + 1:032x}", BEGAN + number * SECOND))
    for chunk in settling.plan_chunks(Window(**everything)):
        settling.settle(chunk)


def analysis_rows(store: Store) -> dict[str, list[bytes]]:
    """The rows of every analysis table, each as text, without the columns that tell runs apart."""
    tables = [table for signal in SIGNALS.values() for table in signal.derived]
    tables.append("clew_findings")
    with store.client() as client:
        return {
            table: sorted(
                client.raw_query(
                    f"SELECT {', '.join(columns(store, table))} FROM otel.{table} FINAL",
                    fmt="TabSeparated",
                ).splitlines()
            )
            for table in tables
        }


def columns(store: Store, table: str) -> list[str]:
    described = rows(store, f"DESCRIBE TABLE otel.{table}")
    return [f"`{row['name']}`" for row in described if row["name"] not in COLUMNS_OF_A_RUN]
