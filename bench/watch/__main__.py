"""How well clew's detectors find what they should, against the bars that they are held to.

    python -m bench.watch --suite FILE.py [--class mid] [--seeds 0:5] [--series 20] [--json]
    python -m bench.watch --suite FILE.py --tables [--seeds 0]
    python -m bench.watch --nab DIR --tcpd DIR
    python -m bench.watch --made 0:3
    python -m bench.watch --cpu 1000

FILE.py makes series with known changes, as `make(class, scenario, series, seed)`. DIR is a checkout
of NAB or of TCPD. `--tables` sends some of the series through tables and the watcher, and compares
with the arrays. `--made` are series of our own of the same kinds, `--cpu` is what so many series
cost.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from clew.analysis.detectors import anomalies, changes

from . import cost, made, nab, suite, tables, tcpd
from .figures import Row, least, show


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
    parser.add_argument("--tables", action="store_true", help="through the tables instead")
    parser.add_argument("--nab", type=Path, help="a checkout of NAB")
    parser.add_argument("--tcpd", type=Path, help="a checkout of TCPD")
    parser.add_argument("--made", help="seeds of our own labelled series")
    parser.add_argument("--cpu", type=int, help="so many series, minute by minute")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    arguments = parser.parse_args()
    started = time.process_time()
    rows: list[Row] = []
    if arguments.suite:
        module = suite.load(arguments.suite)
        kinds = ("low", "mid", "high") if arguments.kind == "all" else (arguments.kind,)
        for kind in kinds:
            if arguments.tables:
                rows += tables.rows(module, kind, seeds(arguments.seeds)[0])
                continue
            rows += suite.run(module, kind, seeds(arguments.seeds), arguments.series)
    if arguments.nab:
        rows.append(nab_row("NAB, standard profile", nab.read(arguments.nab)))
    if arguments.tcpd:
        rows += tcpd_rows("TCPD", tcpd.read(arguments.tcpd))
    if arguments.made:
        for seed in seeds(arguments.made):
            rows.append(nab_row(f"made machine metrics, seed {seed}", made.machine_series(seed)))
            series = [
                tcpd.Annotated(name, values[:, None], {"maker": points})
                for name, values, points in made.stepped_series(seed)
            ]
            rows += tcpd_rows(f"made steps, seed {seed}", series)
    if arguments.cpu:
        rows += cost.rows(arguments.cpu)
    if arguments.json:
        used = time.process_time() - started
        print(json.dumps({"rows": [row.as_json() for row in rows], "cpu_seconds": used}))
    else:
        show(rows)


def nab_row(name: str, corpus: list[made.Labelled]) -> Row:
    """NAB's score: one threshold for all files, the best one, as NAB has it. Beside it that at
    clew's own threshold."""
    scored = nab.evaluate(corpus, nab.detect, anomalies.THRESHOLD)
    return least(
        name,
        scored.best,
        55,
        scored.files,
        threshold=scored.threshold,
        at_own_threshold=scored.fixed,
        windows=scored.windows,
        found=scored.found,
        false_alarms=scored.false_alarms,
    )


def tcpd_rows(name: str, series: list[tcpd.Annotated]) -> list[Row]:
    """F1 and covering of the change points."""
    f1, cover, count = tcpd.evaluate(series, changes.change_points)
    return [
        least(f"{name}, change points, F1", f1, 0.70, count),
        least(f"{name}, change points, covering", cover, 0.66, count),
    ]


def seeds(text: str) -> range:
    """`3:8` are 3 to 7, `3` is 3 alone."""
    first, _, end = text.partition(":")
    return range(int(first), int(end) if end else int(first) + 1)


if __name__ == "__main__":
    main()
