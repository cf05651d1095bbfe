"""Where in the code the function stands that serves a request: attributes of its span, so that
what is slow leads to a line."""

from __future__ import annotations

import functools
import inspect
from typing import Any

from clew.agent.entries.request import CACHE_SIZE


def handler_place(handler: Any) -> dict[str, Any]:
    """Name, file and first line of a function or method, without its decorators; of a class its
    name alone; of anything else nothing. Nothing may change the result."""
    try:
        return _place(handler)
    except Exception:  # a user's object, whose hash and attributes may raise anything
        return {}


@functools.lru_cache(CACHE_SIZE)
def _place(handler: Any) -> dict[str, Any]:
    while isinstance(handler, functools.partial):
        handler = handler.func
    function = inspect.unwrap(handler)
    # A view of Django that is a class is served by a function of Django's.
    function = getattr(function, "view_class", function)
    module, name = (getattr(function, key, None) for key in ("__module__", "__qualname__"))
    if not isinstance(module, str) or not isinstance(name, str):
        return {}
    # What is defined within a function is called by its own name.
    place: dict[str, Any] = {"code.function.name": f"{module}.{name.rpartition('<locals>.')[2]}"}
    code = getattr(function, "__code__", None)
    if code is not None:
        place |= {"code.file.path": code.co_filename, "code.line.number": code.co_firstlineno}
    return place
