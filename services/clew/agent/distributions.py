"""Which distributions are installed, by the names of the metadata directories on sys.path: no
metadata is read, nothing is imported."""

from __future__ import annotations

import os
import sys
from functools import cache


@cache
def installed() -> dict[str, str]:
    """The versions of the distributions that this Python can import, by normalized name. Of two of
    one name, the first on sys.path counts, as it does for an import."""
    versions: dict[str, str] = {}
    for directory in sys.path:
        try:
            entries = os.listdir(directory or ".")
        except OSError:
            continue
        for entry in entries:
            if entry.endswith((".dist-info", ".egg-info")):
                name, _, rest = entry.rpartition(".")[0].partition("-")
                versions.setdefault(normalized(name), rest.partition("-py")[0])
    return versions


def normalized(distribution: str) -> str:
    """A distribution's name as `installed` has it."""
    return distribution.lower().replace("-", "_").replace(".", "_")
