"""Routes of Starlette and FastAPI requests.

contrib searches all routes of the application for each request, before the framework does the same:
with 100 routes that takes 250 µs. Here the framework goes first. What its router leaves in the
scope tells which route it took, and contrib's search is done once for each.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from clew.agent.entries.places import handler_place
from clew.agent.entries.request import CACHE_SIZE

Details = tuple[str, dict[str, Any]]  # a span's name, and further attributes
_SEARCHES = {
    "opentelemetry.instrumentation.fastapi",
    "opentelemetry.instrumentation.starlette",
}


def searches_routes(find_details: Any) -> bool:
    """Whether it is contrib's function for an application with Starlette's routes."""
    return getattr(find_details, "__module__", "") in _SEARCHES


class RouteMemory:
    """Remembers what contrib's `find_details` gives for requests that took the same route."""

    def __init__(self, find_details: Callable[[Any], Details]) -> None:
        self._find_details = find_details
        self._module = sys.modules[find_details.__module__]
        self._known: dict[tuple[int, int, str], tuple[Any, Any, Any, Details]] = {}

    def details(self, before: dict[str, Any], scope: Any) -> Details:
        """What `find_details(before)` gives, and the place of the endpoint. `before`: a copy of the
        scope from before the application saw it. `scope`: as the application left it."""
        selected, endpoint = scope.get("route"), scope.get("endpoint")
        key = (id(selected), id(endpoint), before.get("method", ""))
        known = self._known.get(key)
        # A route can be included at two places: the one that is known must fit the path as well.
        if known is not None and self._matches(known[2], before):
            return known[3]
        name, attributes = self._find_details(before)
        details = name, attributes | handler_place(endpoint)
        if endpoint is not None and len(self._known) < CACHE_SIZE:
            route = self._route(before)
            if route is not None and details[1].get("http.route") == getattr(route, "path", None):
                # The key's objects are held, so that their ids stay theirs.
                self._known[key] = (selected, endpoint, route, details)
        return details

    def _route(self, before: dict[str, Any]) -> Any:
        flattened = getattr(self._module, "_flatten_routes", iter)
        routes = flattened(before["app"].routes)
        return next((route for route in routes if self._matches(route, before)), None)

    @staticmethod
    def _matches(route: Any, before: dict[str, Any]) -> bool:
        from starlette.routing import Match, Route

        matches = Route.matches(route, before) if isinstance(route, Route) else None
        match, _ = matches or route.matches(before)
        return match is Match.FULL
