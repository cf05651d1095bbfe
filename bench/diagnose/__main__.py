"""How often clew names the cause of a fault.

    python -m bench.diagnose --nezha DIR --day 2023-01-29 [--json] [--data DIR]
    python -m bench.diagnose --shop [--seeds 1:4] [--json] [--data DIR]

DIR has Nezha's data set (`construct_data` and `rca_data`), or is its `construct_data`. The day is
converted to OTLP, sent to a `clew up` of its own, and each fault's window is asked of
`GET /api/v1/diagnose`, with the day's other minutes as the baseline.

as_1, as_3: the share of the faults whose service is first, or among the first three. place_1,
place_3: likewise the place in the code, of the code faults of TrainTicket.
quiet_names_the_next_fault: in how many windows before a fault its very service is named: it was on
earlier than the data say. quiet: the share of
windows without a fault for which no cause is named.

`--shop`: the model of the demo shop with each of its faults for five minutes, against an hour
without any. kind: the share of the faults whose service is named with the right kind of cause.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from . import nezha, shop
from .faults import measure


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.diagnose", description=(__doc__ or "").split("\n", maxsplit=1)[0]
    )
    parser.add_argument("--nezha", type=Path, help="the data set's folder")
    parser.add_argument("--day", default="2023-01-29", help="one of its days")
    parser.add_argument("--shop", action="store_true", help="the model of the demo shop")
    parser.add_argument("--seeds", default="1:4", help="of the shop, FIRST:END")
    parser.add_argument("--data", type=Path, help="keep clew's data in this new directory")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        data = arguments.data or Path(directory) / "data"
        if arguments.shop:
            first, _, end = arguments.seeds.partition(":")
            result = shop.measure(range(int(first), int(end)), data)
        elif arguments.nezha:
            day = nezha.read(arguments.nezha, arguments.day)
            result = {"day": arguments.day} | measure(day, data)
        else:
            parser.error("say --nezha DIR or --shop")
    if arguments.json:
        print(json.dumps(result))
    else:
        _show(result)


def _show(result: dict[str, Any]) -> None:
    for answer in result["answers"]:
        causes = ", ".join(
            f"{cause['service']} {cause['kind']} {cause['score']:.2f}" for cause in answer["causes"]
        )
        rank = answer["rank"] or "-"
        place = answer.get("place_rank") or "-"
        what = f"{answer['service'] or '':32} {answer.get('type') or answer.get('fault') or '':28}"
        print(f"{rank:>2} {place:>2} {what} {causes}")
    for name, value in result.items():
        if not name.endswith("answers"):
            print(f"{name:24} {value}")


if __name__ == "__main__":
    main()
