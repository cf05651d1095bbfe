"""docs/grafana.md lists every dashboard and every variable of `make grafana`."""

from __future__ import annotations

import json
import re
from pathlib import Path

from provision import DEFAULTS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "grafana.md").read_text()


def test_every_dashboard_is_listed() -> None:
    boards = sorted((ROOT / "dashboards" / "generated").glob("*.json"))
    titles = {json.loads(path.read_text())["title"].removeprefix("clew: ") for path in boards}
    (rows,) = re.findall(r"^\| dashboard \|.*\n\|-\|.*\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    listed = re.findall(r"^\| ([^|]+) \|", rows, re.MULTILINE)
    assert sorted(listed) == sorted(titles)


def test_every_variable_is_listed_with_its_default() -> None:
    for name, default in DEFAULTS.items():
        (row,) = (
            line for line in PAGE.splitlines() if line.startswith("| ") and f"`{name}`" in line
        )
        shown = default or "empty"
        assert shown in row or name == "CLEW_DASHBOARDS"
