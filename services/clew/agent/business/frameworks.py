"""What frameworks need, so that bodies pass by us before somebody reads them, and contexts reach
what handles a request. Nothing is imported here that the service does not import."""

from __future__ import annotations

import functools
from typing import Any

from opentelemetry import context, trace

from clew.agent.business import requests, rules
from clew.agent.business.bodies import PLACE, BodyWatch, WatchedInput, WatchedReceive, of_aiohttp


def prepare_frameworks() -> None:
    """Have frameworks, once they are imported, pass bodies by us where a rule may want to see
    them."""
    rules.after_import(_starlette, "starlette.requests")
    rules.after_import(_django_wsgi, "django.core.handlers.wsgi")
    rules.after_import(_django_asgi, "django.core.handlers.asgi")
    rules.after_import(_aiohttp, "aiohttp.web_request")
    rules.after_import(_aiohttp_middleware, "opentelemetry.instrumentation.aiohttp_server")


def _are_watched() -> bool:
    active = rules.current()
    return active is not None and active.watches_bodies


def _starlette(module: Any) -> None:
    """FastAPI's handlers read bodies through these requests, too. A wrapper of an application would
    be a frame of the service's tracebacks."""
    initialize = module.Request.__init__

    @functools.wraps(initialize)
    def watched_init(self: Any, scope: Any, *args: Any, **kwargs: Any) -> None:
        watch = scope.get(PLACE)
        if isinstance(watch, BodyWatch):
            if args:
                args = (WatchedReceive(args[0], watch), *args[1:])
            elif "receive" in kwargs:
                kwargs["receive"] = WatchedReceive(kwargs["receive"], watch)
        initialize(self, scope, *args, **kwargs)

    module.Request.__init__ = watched_init


def _django_wsgi(module: Any) -> None:
    initialize = module.WSGIRequest.__init__

    @functools.wraps(initialize)
    def watched_init(self: Any, environ: Any) -> None:
        if _are_watched() and PLACE not in environ and "wsgi.input" in environ:
            environ[PLACE] = environ["wsgi.input"] = WatchedInput(environ["wsgi.input"])
        initialize(self, environ)

    module.WSGIRequest.__init__ = watched_init


def _django_asgi(module: Any) -> None:
    initialize = module.ASGIRequest.__init__

    @functools.wraps(initialize)
    def watched_init(self: Any, scope: Any, body_file: Any) -> None:
        if _are_watched() and PLACE not in scope:
            body_file = scope[PLACE] = WatchedInput(body_file)
        initialize(self, scope, body_file)

    module.ASGIRequest.__init__ = watched_init


def _aiohttp(module: Any) -> None:
    read = module.BaseRequest.read

    @functools.wraps(read)
    async def watched_read(self: Any) -> Any:
        body = await read(self)
        watched = of_aiohttp.pop(id(self), None)
        if watched is not None:
            watched.see(body, True)
        return body

    module.BaseRequest.read = watched_read


def _aiohttp_middleware(module: Any) -> None:
    """contrib gives a span the context of a request as its parent, and does not make it current:
    what it carries would end here."""
    create = module.create_aiohttp_middleware

    @functools.wraps(create)
    def create_middleware(*args: Any, **kwargs: Any) -> Any:
        middleware = create(*args, **kwargs)

        @functools.wraps(middleware)  # it says which version of middlewares this is
        async def carrying(request: Any, handler: Any) -> Any:
            async def within(request: Any) -> Any:
                caller = requests.extracted.get()
                if caller is None:
                    return await handler(request)
                current = trace.set_span_in_context(trace.get_current_span(), caller)
                token = context.attach(current)
                try:
                    return await handler(request)
                finally:
                    context.detach(token)

            requests.extracted.set(None)
            try:
                return await middleware(request, within)
            finally:
                of_aiohttp.pop(id(request), None)

        return carrying

    module.create_aiohttp_middleware = create_middleware
