"""How often clew names the cause of a fault.

    python -m bench.diagnose --nezha DIR --day 2023-01-29 [--json] [--data DIR]

DIR has Nezha's data set (`construct_data` and `rca_data`), or is its `construct_data`. The day is
converted to OTLP, sent to a `clew up` of its own, and each fault's window is asked of
`GET /api/v1/diagnose`, with the day's other minutes as the baseline.

as_1, as_3: the share of the faults whose service is first, or among the first three. place_1,
place_3: likewise the place in the code, of the code faults of TrainTicket. quiet: the share of
windows without a fault for which no cause is named.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from . import nezha
from .faults import measure


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.diagnose", description=(__doc__ or "").split("\n", maxsplit=1)[0]
    )
    parser.add_argument("--nezha", type=Path, required=True, help="the data set's folder")
    parser.add_argument("--day", required=True, help="one of its days, such as 2023-01-29")
    parser.add_argument("--data", type=Path, help="keep clew's data in this new directory")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    arguments = parser.parse_args()
    day = nezha.read(arguments.nezha, arguments.day)
    with tempfile.TemporaryDirectory() as directory:
        result = measure(day, arguments.data or Path(directory) / "data")
    result = {"day": arguments.day} | result
    if arguments.json:
        print(json.dumps(result))
    else:
        _show(result)


def _show(result: dict[str, Any]) -> None:
    for answer in result["answers"]:
        causes = ", ".join(f"{cause['service']} {cause['score']:.2f}" for cause in answer["causes"])
        rank = answer["rank"] or "-"
        place = answer["place_rank"] or "-"
        print(f"{rank:>2} {place:>2} {answer['service']:32} {answer['type']:15} {causes}")
    for name, value in result.items():
        if not name.endswith("answers"):
            print(f"{name:24} {value}")


if __name__ == "__main__":
    main()
