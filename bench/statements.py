"""CPU time of the statements behind the API's answers, one at a time.

    python bench/statements.py DIR [--calls 7] [--only PATTERN]

The directory is one that `bench/dataset.py --data` made, and no clew is running on it. The API runs
in this process, without the loader, the settler and the watcher, so that what is measured are the
answers alone: that says more than bench/reads.py on a machine with other work. What is printed are
medians in milliseconds: of an answer, and of each of its statements.
"""

from __future__ import annotations

import argparse
import re
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

from dataset import read
from reads import WARM_UP, asked, every_call
from starlette.testclient import TestClient

from clew.api import create_app
from clew.storage import Reader, Reading, Store

Times = list[tuple[str, float]]  # names of statements, and milliseconds


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("directory", type=Path, metavar="DIR")
    parser.add_argument("--calls", type=int, default=7)
    parser.add_argument("--only", default="", help="of the calls, those with this pattern")
    given = parser.parse_args()
    day = read(given.directory / "dataset.json")
    store = Store(f"chdb://{given.directory.resolve()}/db")
    reader = Reader(store)
    times: Times = []
    with (
        patch.multiple(
            Reading,
            in_parallel=lambda self, *calls: tuple(call() for call in calls),
            _read_now=_timed(Reading._read_now, times),
            columns=_timed(Reading.columns, times),
        ),
        TestClient(create_app(reader, reader.answers)) as api,
    ):
        for call in every_call(api, day):
            if re.search(given.only, call.name):
                answers = []
                for _ in range(WARM_UP + given.calls):
                    times.clear()
                    began = time.process_time()
                    api.get(call.path, params=asked(day, call)).raise_for_status()
                    answers.append([("", 1000 * (time.process_time() - began)), *times])
                report(call.name, answers[WARM_UP:])
    store.close()


def _timed(method: Callable[..., Any], times: Times) -> Callable[..., Any]:
    """The method of Reading, which adds what it takes."""

    def run(reading: Reading, query: Any, *arguments: Any, **parameters: Any) -> Any:
        began = time.process_time()
        answer = method(reading, query, *arguments, **parameters)
        name = query if isinstance(query, str) else query.name
        times.append((name, 1000 * (time.process_time() - began)))
        return answer

    return run


def report(name: str, answers: list[Times]) -> None:
    """Medians of the answers, and of their statements by name and place."""
    by_statement = defaultdict(list)
    for answer in answers:
        places: Counter[str] = Counter()
        for statement, took in answer:
            places[statement] += 1
            by_statement[statement, places[statement]].append(took)
    medians = {key: statistics.median(took) for key, took in by_statement.items()}
    print(f"{name:45} {medians.pop(('', 1)):6.1f} in {len(medians)} statements", flush=True)
    for (statement, place), median in medians.items():
        print(f"    {statement + f' {place}' * (place > 1):41} {median:6.1f}", flush=True)


if __name__ == "__main__":
    main()
