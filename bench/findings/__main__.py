"""What findings find in the model of the shop, with faults and without, and what a run costs.

    python -m bench.findings [--seeds 3] [--minutes 20] [--rate 5] [--json]
    python -m bench.findings --day DIR      # a store of bench/dataset.py

For each fault that a rule is for: whether the rule finds it, where it is. STORIES says which faults
need a time before them. Then for each seed an hour without a fault, in which nothing may be found.
cpu_s: of one run, of the whole process, the lower quartile of several; spans: that the run looked
at. With --day: the traces of GET /orders that have the N+1 of the day, against the number of those
that did not fail.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from clew.analysis import queries
from clew.analysis.findings.records import FindingRecords
from clew.analysis.findings.rules import all_rules
from clew.analysis.findings.step import Findings
from clew.analysis.steps import Interval
from clew.analysis.traces.edges import Edges
from clew.analysis.traces.settling import Settling, Window, settler_statements
from clew.analysis.traces.times import LAST_SECOND
from clew.collector import otlp
from clew.collector.segment import encode_segment
from clew.shop.faults import KNOWN
from clew.storage import SIGNALS, Ingest, Store, migrate

sys.path.insert(0, str(Path(__file__).parents[1]))

from shop.model import Shop
from shop.telemetry import metrics_request, traces_request

START = 1_780_308_000.0
RUNS = 7
DAY = 86_400
DAY_OPERATION = "GET /orders"


class Story(NamedTuple):
    """What is before a fault: `clean` minutes, as many as the fault lasts if None, and so many
    earlier `days`, of each PAST_MINUTES. `lasts`: minutes, where a rule needs so many."""

    clean: int | None = 0
    days: int = 0
    lasts: int = 0
    rate: float = 0.0


PAST_MINUTES = 10
STORIES = {
    "bank_slow": Story(days=3),
    "orders_memory_leak": Story(lasts=150, rate=0.7),
    "storefront_cache_off": Story(clean=None),
}


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
    parser.add_argument("--clean", type=int, default=60, help="minutes without a fault")
    parser.add_argument("--faults", default="", help="only these, with commas between them")
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
    if arguments.faults:
        faults = {name: faults[name] for name in arguments.faults.split(",") if name in faults}
    answers: list[dict[str, Any]] = []
    for name, truth in faults.items():
        for seed in range(arguments.seeds):
            with store_of_fault(name, seed, arguments) as store:
                found = run(store)["findings"]
            answers.append(
                {
                    "fault": name,
                    "seed": seed,
                    "found": any(
                        rule == truth.rule and service in (truth.service, names_instead(truth.rule))
                        for rule, service, *_ in found
                    ),
                    "findings": [" ".join(one) for one in found],
                }
            )
    clean = []
    for seed in range(arguments.seeds):
        shop = Shop(seed, START, rate=arguments.rate)
        with store_of(shop, arguments.clean, past_days(seed, 3, arguments.rate)) as store:
            clean.append({"seed": seed, **run(store)})
    return {
        "fault": answers,
        "recall": sum(answer["found"] for answer in answers) / max(len(answers), 1),
        "clean": clean,
    }


def names_instead(rule: str) -> str:
    """The service that a rule names where the cause is another: who swallows an error."""
    return "storefront" if rule == "swallowed_errors" else ""


@contextmanager
def store_of_fault(name: str, seed: int, arguments: argparse.Namespace) -> Iterator[Store]:
    """A store in which a fault is on, after what its story says."""
    story = STORIES.get(name, Story())
    rate, lasts = story.rate or arguments.rate, story.lasts or arguments.minutes
    clean = lasts if story.clean is None else story.clean
    shop = Shop(seed, START, rate=rate, plan=[(name, clean, clean + lasts)])
    with store_of(shop, clean + lasts, past_days(seed, story.days, rate)) as store:
        yield store


def past_days(seed: int, days: int, rate: float) -> list[Shop]:
    """The shop at the same time of earlier days."""
    return [Shop(seed + 1000 * day, START - day * DAY, rate=rate) for day in range(1, days + 1)]


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


def settle(store: Store) -> None:
    """Settles all traces."""
    settling = Settling(store)
    for chunk in settling.plan_chunks(Window(0, 1 << 32, 0, 1 << 32)):
        settling.settle(chunk)


@contextmanager
def store_of(shop: Shop, minutes: int, past: Sequence[Shop] = ()) -> Iterator[Store]:
    """A store with the settled traces and the metrics of so many minutes, and of days before."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        store = Store(f"chdb://{Path(name) / 'db'}")
        migrate(store)
        ingest, numbers = Ingest(store), count(1)

        def load(signal: str, body: bytes, items: int) -> None:
            number, path = next(numbers), Path(name) / "1.sealed"
            path.write_bytes(encode_segment([otlp.decode_protobuf(signal, body)], number))
            ingest.load(SIGNALS[signal], path, number, items, time.time())

        for one, length in [*((day, PAST_MINUTES) for day in past), (shop, minutes)]:
            for _ in range(length):
                made = one.minute()
                spans, points = traces_request(made.spans), metrics_request(made.points)
                load("traces", spans.SerializeToString(), len(made.spans))
                load("metrics", points.SerializeToString(), len(made.points))
        settle(store)
        Edges(settler_statements(store)).run(Interval(1, LAST_SECOND, 1), Running())
        yield store
        store.close()


if __name__ == "__main__":
    main()
