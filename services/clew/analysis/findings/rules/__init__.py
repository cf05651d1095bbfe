"""The rules of findings, one module each, which has it as `RULE`."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence
from functools import cache

from clew.analysis.findings.rule import Rule


@cache
def all_rules() -> Sequence[Rule]:
    """Every rule, by name."""
    modules = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return tuple(importlib.import_module(f"{__name__}.{name}").RULE for name in modules)
