"""Measures `GET /api/v1/diagnose` on labelled faults. Its modules import those of the folder
above by their names, as the other benchmarks do."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
