"""What findings find in the model of the shop, with faults and without, and what a run costs.

    python -m bench.findings [--seeds 3] [--minutes 20] [--rate 5] [--json]
    python -m bench.findings --day DIR      # a store of bench/dataset.py

For each fault that a rule is for: whether the rule finds it, where it is. Then an hour without a
fault, in which nothing may be found. cpu_s: of one run, of the whole process, the lower quartile of
several; spans: that the run looked at. With --day: the traces of GET /orders that have the N+1 of
the day, against the number of those that did not fail.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clew.analysis import queries
from clew.analysis.findings.records import FindingRecords
from clew.analysis.findings.rules import all_rules
from clew.analysis.findings.step import Findings
from clew.analysis.steps import Interval
from clew.analysis.traces.settling import Settling, Window, settler_statements
from clew.analysis.traces.times import LAST_SECOND
from clew.collector import otlp
from clew.collector.segment import encode_segment
from clew.shop.faults import KNOWN
from clew.storage import SIGNALS, Ingest, Store, migrate

sys.path.insert(0, str(Path(__file__).parents[1]))

from shop.model import Shop
from shop.telemetry import traces_request

START = 1_780_308_000.0
RUNS = 7
DAY_OPERATION = "GET /orders"


class Running:
    """A Stop that never stops or pauses the work."""

    def check(self) -> None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.findings", description=(__doc__ or "").split("\n", maxsplit=1)[0]
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--minutes", type=int, default=20)
    parser.add_argument("--rate", type=float, default=5.0, help="requests a second")
    parser.add_argument("--day", type=Path, help="a data directory of bench/dataset.py")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    arguments = parser.parse_args()
    result = measure_day(arguments.day) if arguments.day else measure_shop(arguments)
    if arguments.json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        for line in value if isinstance(value, list) else [value]:
            print(f"{name:10} {line}")


def measure_shop(arguments: argparse.Namespace) -> dict[str, Any]:
    """By fault and seed what was found, and what was found without a fault."""
    rules = {rule.name for rule in all_rules()}
    faults = {name: known.truth for name, known in KNOWN.items() if known.truth.rule in rules}
    answers: list[dict[str, Any]] = []
    for name, truth in faults.items():
        for seed in range(arguments.seeds):
            shop = Shop(seed, START, rate=arguments.rate, plan=[(name, 0, arguments.minutes)])
            with store_of(shop, arguments.minutes) as store:
                found = run(store)["findings"]
            answers.append(
                {
                    "fault": name,
                    "seed": seed,
                    "found": truth.rule in {rule for rule, *_ in found},
                    "findings": [" ".join(one) for one in found],
                }
            )
    with store_of(Shop(0, START, rate=arguments.rate), 60) as store:
        clean = run(store)
    return {
        "fault": answers,
        "recall": sum(answer["found"] for answer in answers) / max(len(answers), 1),
        "clean": clean,
    }


def measure_day(directory: Path) -> dict[str, Any]:
    """What a run over the newest traces of the day costs and finds, and the day's N+1."""
    store = Store(f"chdb://{directory / 'db'}")
    result = run(store)
    with store.client() as client:
        ((served, repeating),) = client.query(
            f"""SELECT countIf(NOT IsError), countIf(arrayMax(Path.Most) >= 5)
            FROM otel.clew_settled FINAL WHERE SpanName = '{DAY_OPERATION}' AND Rank = 0"""
        ).result_rows
    store.close()
    return result | {"orders": served, "n_plus_one": repeating}


def run(store: Store) -> dict[str, Any]:
    """Runs the step several times over the newest traces."""
    statements = settler_statements(store)
    step = Findings(statements)
    seconds = []
    for _ in range(RUNS):
        before = time.process_time()
        step.run(Interval(0, LAST_SECOND, time.time_ns()), Running())
        seconds.append(time.process_time() - before)
    records = FindingRecords(statements).all().values()
    (window,) = statements.rows(queries.FINDING_NEWEST, until="2106-01-01 00:00:00")
    hours = step.hours(window["newest"] / 1e9 + 1)
    return {
        "cpu_s": round(sorted(seconds[1:])[RUNS // 4], 3),
        "spans": sum(row["spans"] for row in hours),
        "pause_s": round(step.every),
        "findings": [
            (
                record.finding.rule,
                record.finding.service,
                record.finding.operation,
                record.finding.subject,
            )
            for record in records
        ],
    }


@contextmanager
def store_of(shop: Shop, minutes: int) -> Iterator[Store]:
    """A store with the settled traces of so many minutes."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        store = Store(f"chdb://{Path(name) / 'db'}")
        migrate(store)
        ingest, path = Ingest(store), Path(name) / "1.sealed"
        for number in range(1, minutes + 1):
            spans = shop.minute().spans
            body = traces_request(spans).SerializeToString()
            path.write_bytes(encode_segment([otlp.decode_protobuf("traces", body)], number))
            ingest.load(SIGNALS["traces"], path, number, len(spans), time.time())
        settling = Settling(store)
        for chunk in settling.plan_chunks(Window(0, 1 << 32, 0, 1 << 32)):
            settling.settle(chunk)
        yield store
        store.close()


if __name__ == "__main__":
    main()
