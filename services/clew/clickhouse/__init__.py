"""ClickHouse's HTTP interface in front of the embedded engine: for drivers, Grafana and BI tools.

    http        the application: who is let in, what waits its turn, what runs
    asked       a request, its head understood
    replies     an answer, and errors, with the headers that a server gives them
    inserts     where an INSERT's statement ends and its rows begin
    encodings   what bodies are compressed with, both ways
    blocks      ClickHouse's own compression among them
    native      the one answer that is not the engine's: who is there

What a statement may do is decided below, in clew.storage.sessions.
"""

from clew.clickhouse.asked import User
from clew.clickhouse.http import Application

__all__ = ["Application", "User"]
