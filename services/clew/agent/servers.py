"""Entry spans where a server calls an application of no framework that is instrumented: plain ASGI
and WSGI, datasette, Litestar, Bottle. Where there is such a framework, however deep in middlewares,
its own instrumentation makes the spans, and knows the route.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import wrapt
from opentelemetry import trace

# Modules of classes whose requests have spans already.
_INSTRUMENTED = (
    *("django.core.handlers", "falcon", "fastapi", "flask", "pyramid", "starlette.applications"),
    *("bottle", "opentelemetry.instrumentation"),
)
_WSGI_WORKERS = tuple(f"gunicorn.workers.{name}" for name in ("sync", "gthread", "ggevent"))
_MOUNTED = "clew.application"
_MOST_OBJECTS = 200  # that are looked at, in an application made of middlewares
_NEXT = ("app", "application", "wrapped_app", "asgi_app", "wsgi_app", "other_asgi_app", "apps")


def trace_uvicorn(module: Any) -> None:
    """`module` is uvicorn.config."""

    def load(wrapped: Any, config: Any, args: Any, kwargs: Any) -> None:
        wrapped(*args, **kwargs)
        if getattr(config, "interface", "") != "wsgi":
            config.loaded_app = asgi_entry(config.loaded_app)

    wrapt.wrap_function_wrapper(module, "Config.load", load)


def trace_hypercorn(module: Any) -> None:
    """`module` is hypercorn.app_wrappers."""

    def init(wrapped: Any, _wrapper: Any, args: Any, kwargs: Any) -> None:
        wrapped(asgi_entry(args[0]), *args[1:], **kwargs) if args else wrapped(**kwargs)

    wrapt.wrap_function_wrapper(module, "ASGIWrapper.__init__", init)


def trace_gunicorn(module: Any) -> None:
    """`module` is gunicorn.workers.base. Workers of others may call ASGI."""

    def load_wsgi(wrapped: Any, worker: Any, args: Any, kwargs: Any) -> None:
        wrapped(*args, **kwargs)
        if type(worker).__module__ in _WSGI_WORKERS:
            worker.wsgi = wsgi_entry(worker.wsgi)

    wrapt.wrap_function_wrapper(module, "Worker.load_wsgi", load_wsgi)


def trace_bottle(module: Any) -> None:
    """Every application of it, whatever calls it; one that another mounts is within its request."""
    middleware = _wsgi_middleware(lambda environ, start: environ[_MOUNTED](environ, start))

    def call(wrapped: Any, _application: Any, args: Any, kwargs: Any) -> Any:
        environ = args[0] if args else kwargs["environ"]
        if _MOUNTED in environ:
            return wrapped(*args, **kwargs)
        environ[_MOUNTED] = wrapped
        return middleware(*args, **kwargs)

    wrapt.wrap_function_wrapper(module, "Bottle.__call__", call)


def trace_datasette(module: Any) -> None:
    """`module` is datasette.app: the route is known where its router has found it."""

    def resolve_routes(wrapped: Any, _instance: Any, args: Any, kwargs: Any) -> Any:
        match, view = wrapped(*args, **kwargs)
        if match is not None:
            _set_route(template(match))
        return match, view

    wrapt.wrap_function_wrapper(module, "resolve_routes", resolve_routes)


def template(match: re.Match[str]) -> str:
    """The route of a regular expression that matched a path: named groups instead of texts."""
    path = match.string
    spans = [(match.span(name), name) for name in match.re.groupindex if match.span(name)[0] >= 0]
    before = len(path) + 1
    for (start, end), name in sorted(spans, reverse=True):
        if end <= before and end > start:
            path = f"{path[:start]}{{{name}}}{path[end:]}"
            before = start
    return path


def _set_route(route: str) -> None:
    span: Any = trace.get_current_span()
    if span.is_recording() and getattr(span, "kind", None) is trace.SpanKind.SERVER:
        span.set_attribute("http.route", route)
        span.update_name(f"{span.name.partition(' ')[0]} {route}")


def asgi_entry(app: Any) -> Any:
    """The application, with a span for each of its requests unless a framework makes them."""
    if is_instrumented(app):
        return app
    from opentelemetry.instrumentation import asgi

    async def routed(scope: Any, receive: Any, send: Any) -> None:
        async def watch(message: Any) -> None:
            if route := scope.get("path_template"):  # Litestar's
                _set_route(str(route))
            await send(message)

        await app(scope, receive, watch)

    return asgi.OpenTelemetryMiddleware(routed, exclude_spans=["send", "receive"])


def wsgi_entry(app: Any) -> Any:
    """As asgi_entry, for WSGI."""
    return app if is_instrumented(app) else _wsgi_middleware(app)


def _wsgi_middleware(app: Any) -> Any:
    from opentelemetry.instrumentation import wsgi

    def routed(environ: Any, start_response: Any) -> Any:
        def start(*args: Any, **kwargs: Any) -> Any:
            if rule := getattr(environ.get("bottle.route"), "rule", ""):
                _set_route(rule)
            return start_response(*args, **kwargs)

        return app(environ, start)

    return wsgi.OpenTelemetryMiddleware(routed)


def is_instrumented(app: Any) -> bool:
    """Whether there is a framework's application in what may be any number of middlewares, which
    keep what they call in attributes or, as functions, in their closures. Where it cannot be looked
    at, there may be one."""
    try:
        return _has_framework(app)
    except Exception:
        return True


def _has_framework(app: Any) -> bool:
    seen: dict[int, Any] = {}
    waiting = [app]
    while waiting and len(seen) < _MOST_OBJECTS:
        part = waiting.pop()
        if id(part) in seen:
            continue
        seen[id(part)] = part
        if any(_is_of_framework(base.__module__) for base in type(part).__mro__):
            return True
        if _is_of_framework(str(getattr(part, "__module__", ""))):
            return True
        waiting += _parts(part)
    return False


def _is_of_framework(module: str) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in _INSTRUMENTED)


def _parts(part: Any) -> Iterator[Any]:
    for cell in getattr(part, "__closure__", None) or ():
        try:
            yield cell.cell_contents
        except ValueError:  # not filled yet
            continue
    attributes = getattr(part, "__dict__", {})
    for name in (*_NEXT, *(f"_{name}" for name in _NEXT)):
        if name in attributes:
            yield attributes[name]
    for name in ("__wrapped__", "__self__", "func"):  # of decorators, methods, partials
        if (inner := getattr(part, name, None)) is not None:
            yield inner
    if isinstance(part, dict):
        yield from part.values()
    elif isinstance(part, list | tuple):
        yield from part
