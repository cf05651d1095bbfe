"""A cluster of one node, the embedded engine: Distributed tables over its own shard.

It has no ON CLUSTER, no second node and no replicas, which need a server's ports."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from unittest.mock import patch

from clew.storage import Store, rights
from clew.storage.cluster import SETTINGS, Cluster

CONFIGURATION = """<clickhouse>
<users_config>{users}</users_config>
<tcp_port>9000</tcp_port>
<remote_servers><clew>{shards}</clew></remote_servers>
</clickhouse>
"""
SHARD = """<shard><internal_replication>true</internal_replication>
<replica><host>127.0.0.1</host><port>9000</port></replica></shard>"""
READS = "<query>GRANT SHOW, SELECT ON otel.*</query>"


class OneNode(Cluster):
    """Makes a cluster's statements, without ON CLUSTER and with tables that are not replicated."""

    on_cluster = ""

    def engine(self, table: str, engine: str | None, arguments: str | None) -> str:
        return f"ENGINE = {engine}({arguments or ''})" if engine else "ENGINE = Memory"


def store(directory: Path, shards: int = 1) -> Store:
    """The embedded engine as a node of the cluster `clew`.

    With two shards, both are this node: every query returns each row twice."""
    write_configuration = rights.write_configuration

    def with_cluster(folder: Path, memory: int, names: Callable[[str], Iterable[str]]) -> Path:
        config = write_configuration(folder, memory, names)
        users = config.with_name("users.xml")
        text = users.read_text().replace(READS, READS + READS.replace("otel", "otel_local"))
        settings = "".join(f"<{name}>{value}</{name}>" for name, value in SETTINGS.items())
        users.write_text(text.replace("<default></default>", f"<default>{settings}</default>", 1))
        config.write_text(CONFIGURATION.format(users=users, shards=SHARD * shards))
        return config

    with patch.object(rights, "write_configuration", with_cluster):
        return Store(f"chdb://{directory}", cluster=OneNode("clew"))
