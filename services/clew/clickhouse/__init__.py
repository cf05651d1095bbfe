"""ClickHouse's HTTP interface in front of the embedded engine: for drivers, Grafana and BI tools.

    application   the ASGI application: authentication, limits on concurrency, running statements
    query         a request: user, statement, parameters, settings, format
    body          a request's body: receiving it within limits, decompressing it
    response      a response: headers, compression, errors before and after it has begun
    inserts       parses the head of an INSERT, up to its rows
    encodings     compression by HTTP's content encodings
    blocks        compression by ClickHouse's own blocks
    native        the server's description of itself, in the native protocol's form

What a statement may do is decided by clew.storage.sessions.
"""

from clew.clickhouse.application import Application
from clew.clickhouse.query import User

__all__ = ["Application", "User"]
