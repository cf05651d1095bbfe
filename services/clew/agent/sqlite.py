"""Spans for sqlite3, by a subclass of its connection that `sqlite3.connect` makes.

contrib wraps the connection in a proxy instead: `backup()` then raises TypeError, and statements of
`connection.execute` are missed. A connection of SQLAlchemy's has SQLAlchemy's spans instead.
Outside of a span there are none: a file that is polled would make a trace of its own each time.
"""

from __future__ import annotations

import sqlite3
from typing import Any

import wrapt
from opentelemetry import trace
from opentelemetry.instrumentation.utils import is_instrumentation_enabled

_tracer = trace.get_tracer("clew.agent.sqlite")


class TracedCursor(sqlite3.Cursor):
    """A cursor whose statements are spans."""

    def execute(self, sql: str, *args: Any) -> Any:
        return _traced(self, sql, super().execute, args)

    def executemany(self, sql: str, *args: Any) -> Any:
        return _traced(self, sql, super().executemany, args)

    def executescript(self, sql_script: str) -> Any:
        return _traced(self, sql_script, super().executescript, ())


class TracedConnection(sqlite3.Connection):
    """A connection whose cursors are TracedCursors."""

    database = ""
    is_traced = True

    def cursor(self, factory: Any = TracedCursor) -> Any:
        return super().cursor(factory)

    def execute(self, sql: str, *args: Any) -> Any:
        return self.cursor().execute(sql, *args)

    def executemany(self, sql: str, *args: Any) -> Any:
        return self.cursor().executemany(sql, *args)

    def executescript(self, sql_script: str) -> Any:
        return self.cursor().executescript(sql_script)


def trace_connections(module: Any) -> None:
    """Have `connect` of the module sqlite3 make TracedConnections, unless it is given a factory."""

    def connect(wrapped: Any, _instance: Any, args: Any, kwargs: Any) -> Any:
        if len(args) > 5 or "factory" in kwargs:
            return wrapped(*args, **kwargs)
        connection = wrapped(*args, factory=TracedConnection, **kwargs)
        connection.database = str(args[0] if args else kwargs.get("database", ""))
        return connection

    for owner in (module, module.dbapi2):
        wrapt.wrap_function_wrapper(owner, "connect", connect)


def _traced(cursor: TracedCursor, sql: str, execute: Any, args: tuple[Any, ...]) -> Any:
    is_traced = getattr(cursor.connection, "is_traced", True) and isinstance(sql, str)
    is_traced = is_traced and trace.get_current_span().get_span_context().is_valid
    if not is_traced or not is_instrumentation_enabled():
        return execute(sql, *args)
    operation = sql.split(None, 1)[0].upper() if sql.strip() else ""
    attributes = {
        "db.system.name": "sqlite",
        "db.namespace": getattr(cursor.connection, "database", ""),
        "db.operation.name": operation,
        "db.query.text": sql,
    }
    with _tracer.start_as_current_span(
        operation or "sqlite", kind=trace.SpanKind.CLIENT, attributes=attributes
    ) as span:
        try:
            return execute(sql, *args)
        except Exception as error:
            span.set_attribute("error.type", type(error).__qualname__)
            raise
