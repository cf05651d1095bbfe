"""How well clew's detectors find what they should, against the bars that they are held to.

    python -m bench.watch --suite FILE.py [--class mid] [--seeds 0:5] [--series 20] [--json]

FILE.py makes series with known changes, as `make(class, scenario, series, seed)`.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from . import suite
from .figures import Row, show


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.watch", description=(__doc__ or "").split("\n", maxsplit=1)[0]
    )
    parser.add_argument("--suite", type=Path, help="a file with a generator of series")
    parser.add_argument(
        "--class", dest="kind", default="mid", choices=("low", "mid", "high", "all")
    )
    parser.add_argument("--seeds", default="0:5", help="FIRST:END")
    parser.add_argument("--series", type=int, default=20, help="for each scenario and seed")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    arguments = parser.parse_args()
    started = time.process_time()
    rows: list[Row] = []
    if arguments.suite:
        module = suite.load(arguments.suite)
        kinds = ("low", "mid", "high") if arguments.kind == "all" else (arguments.kind,)
        for kind in kinds:
            rows += suite.run(module, kind, seeds(arguments.seeds), arguments.series)
    if arguments.json:
        used = time.process_time() - started
        print(json.dumps({"rows": [row.as_json() for row in rows], "cpu_seconds": used}))
    else:
        show(rows)


def seeds(text: str) -> range:
    """`3:8` are 3 to 7, `3` is 3 alone."""
    first, _, end = text.partition(":")
    return range(int(first), int(end) if end else int(first) + 1)


if __name__ == "__main__":
    main()
