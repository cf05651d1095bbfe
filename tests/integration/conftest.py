"""What spares the tests of this suite most of their time, and is not what they test."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import routing

from support.in_memory import tmp_path, tmp_path_factory

__all__ = ["routes_are_read_once", "tmp_path", "tmp_path_factory"]


@pytest.fixture(scope="session", autouse=True)
def routes_are_read_once() -> Iterator[None]:
    """FastAPI reads the signatures of all routes at the first request to an application, for 30 to
    100 ms of CPU, and most tests make one. Routes are the same for all of them."""
    contexts = routing._EffectiveRouteContext
    read = contexts.from_api_route
    known: dict[tuple[int, str], Any] = {}

    def once(*, original_route: Any, include_context: Any) -> Any:
        key = id(original_route), include_context.path_for(original_route)
        if key not in known:
            known[key] = read(original_route=original_route, include_context=include_context)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contexts, "from_api_route", once)
        yield
