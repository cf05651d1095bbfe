"""ClickHouse's HTTP interface in front of the embedded engine: for drivers, Grafana and BI tools.

    http        the application: requests, answers, errors and their headers, as a server has them
    inserts     where an INSERT's statement ends and its rows begin
    encodings   what bodies are compressed with, both ways
    blocks      ClickHouse's own compression among them
    native      the one answer that is not the engine's: who is there

What a statement may do is decided below, in clew.storage.sessions.
"""

from clew.clickhouse.http import Application, User

__all__ = ["Application", "User"]
