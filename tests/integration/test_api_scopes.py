"""Each route of the API declares the scope that it needs."""

from __future__ import annotations

import pytest
from fastapi import APIRouter
from fastapi.routing import APIRoute

from clew.api import create_app
from clew.api.access import ScopedRoute, requires
from clew.storage import Reader, Store

UNGUARDED = {"/healthz", "/readyz", "/login", "/logout", "/docs", "/docs/style.css"}


def test_every_route_needs_a_scope(store: Store) -> None:
    app = create_app(Reader(store), lambda: True)
    scopes = {}
    included = [getattr(route, "original_router", app.router) for route in app.routes]
    for route in (route for router in included for route in router.routes):
        if isinstance(route, APIRoute) and route.path not in UNGUARDED:
            assert isinstance(route, ScopedRoute), route.path
            scopes[route.path, *sorted(route.methods)] = route.required_scope
    assert set(scopes.values()) == {"read", "operate", "admin", "events"}
    assert [path for path, scope in scopes.items() if scope == "events"] == [
        ("/api/v1/events", "POST")
    ]
    assert [path for path, scope in scopes.items() if scope == "admin"] == [
        ("/api/v1/alerts/rules/test", "POST"),
        ("/api/v1/alerts/rules", "PUT"),
        ("/api/v1/definitions", "PUT"),
    ]


def test_a_route_that_changes_something_must_declare_its_scope() -> None:
    router = APIRouter(route_class=ScopedRoute)
    with pytest.raises(TypeError, match="declare the scope"):

        @router.post("/undeclared")
        def undeclared() -> None: ...

    @router.post("/declared")
    @requires("admin")
    def declared() -> None: ...

    (route,) = router.routes
    assert isinstance(route, ScopedRoute)
    assert route.required_scope == "admin"
