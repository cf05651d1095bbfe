"""Writes the dashboards as JSON for Grafana: python dashboards/build.py"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from boards import (
    alerts,
    calls,
    clew,
    infrastructure,
    logs,
    overview,
    service,
    slo,
    traces,
    transaction,
)

GENERATED = Path(__file__).parent / "generated"
BOARDS = (overview, transaction, slo, service, traces, logs, calls, infrastructure, alerts, clew)


def documents() -> Iterator[tuple[str, str]]:
    """Each dashboard's file name and text."""
    for module in BOARDS:
        board = module.board()
        text = json.dumps(board.build(), cls=JSONEncoder, indent=1, sort_keys=True)
        yield f"{board.uid}.json", f"{text}\n"


def main() -> None:
    GENERATED.mkdir(exist_ok=True)
    written = dict(documents())
    for name, text in written.items():
        (GENERATED / name).write_text(text)
    for path in GENERATED.glob("*.json"):
        if path.name not in written:
            path.unlink()


if __name__ == "__main__":
    main()
