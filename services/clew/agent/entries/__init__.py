"""Requests that a service is sent: their spans and metrics, at less cost than contrib's.

contrib's middleware spends most of its time on attributes that it puts together again for every
request, also where the sampler then drops the span. The classes and functions of this package take
the place of contrib's when a module of contrib's is imported. They have its interfaces and give its
values. They serve the usual request; where an option is set that few set, contrib's own code runs.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from importlib import import_module
from typing import Any

import wrapt

from clew.agent import settings

_log = logging.getLogger(__name__)
_CONTRIB = "opentelemetry.instrumentation"
# Modules of contrib's, and those of this package that replace parts of them.
_REPLACED = {
    "asgi": "asgi",
    "django": "django",
    "django.middleware.otel_middleware": "django",
    "flask": "flask",
    "wsgi": "wsgi",
}


def replace_at_import() -> None:
    """Have parts of contrib's replaced once they are imported."""
    if settings.value(os.environ, "CLEW_FAST_REQUESTS").strip().lower() == "false":
        return
    for replaced, name in _REPLACED.items():
        wrapt.register_post_import_hook(_replacing(name), f"{_CONTRIB}.{replaced}")


def _replacing(name: str) -> Callable[[Any], None]:
    def imported(module: Any) -> None:
        try:
            import_module(f"{__name__}.{name}").replace(module)
        except Exception as error:
            _log.warning("clew: contrib's own %s is used: %r", name, error)

    return imported
