"""Hosts with their processors, memory, disks and network, and the processes that run on them.

From OpenTelemetry's host metrics, sent by the agent in each process or by a collector."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

import sql
from boards.shared import environment, service, to_service
from panels import Board, Limits, Panel, choice, lines_of, row, table_of, to_board

HERE = f"{sql.HOST_IN_ENVIRONMENT} AND {sql.chosen(sql.HOST, 'host')}"
SEARCH = (
    "Traces at this time",
    to_board("clew-traces", service="${__field.labels.label}", around="${__value.time}"),
)


def board() -> Board:
    return Board(
        uid="clew-infrastructure",
        title="clew: Infrastructure",
        description=__doc__ or "",
        variables=[environment(), host(), service()],
        rows=[
            row("Processors and memory", 8, busy(), load(), memory(), swap()),
            row("Disks", 8, disk_bytes(), disk_operations(), disk_time()),
            row("File systems", 7, file_systems()),
            row("Network", 8, network_bytes(), network_errors(), network_drops()),
            row("Processes", 10, processes()),
            row("Processes over time", 8, process_processor(), process_memory(), process_files()),
        ],
    )


def host() -> dashboard.QueryVariable:
    """The host's name, or the service's if there is none."""
    tables = " UNION DISTINCT ".join(
        f"""SELECT toString({sql.HOST}) AS name FROM otel.otel_metrics_{table}
        WHERE MetricName IN ('system.cpu.time', 'system.memory.usage', 'process.memory.usage')
            AND {sql.in_window("TimeUnix")} AND {sql.HOST_IN_ENVIRONMENT}
        """
        for table in ("gauge", "sum")
    )
    return choice("host", "Host", f"SELECT name FROM ({tables}) ORDER BY name LIMIT 1000")


# Several processes may report the same metric of their host.


def busy() -> Panel:
    statement = sql.rates("system.cpu.time", sql.HOST, f"{HERE} AND {sql.BUSY}", alike=True)
    about = "How many processors were busy, by host."
    return lines_of("Busy processors", statement, "short", about=about)


def load() -> Panel:
    about = "From a collector's host metrics."
    statement = sql.levels("system.cpu.load_average.1m", sql.HOST, HERE)
    return lines_of("Load", statement, "short", about=about)


def memory() -> Panel:
    statement = sql.levels("system.memory.usage", sql.HOST, f"{HERE} AND {sql.USED}")
    about = "Memory in use, by host; without buffers and caches."
    return lines_of("Used memory", statement, "bytes", about=about)


def swap() -> Panel:
    statement = sql.levels("system.swap.usage", sql.HOST, f"{HERE} AND {sql.USED}")
    about = "Swap in use, by host: memory that did not suffice."
    return lines_of("Used swap", statement, "bytes", about=about)


BY_DIRECTION = f"concat({sql.HOST}, ' ', {sql.DIRECTION})"
BY_DEVICE = f"concat({sql.HOST}, ' ', {sql.DEVICE}, ' ', {sql.DIRECTION})"


def disk_bytes() -> Panel:
    about = "Bytes per second on all disks, by host."
    return of_host("Bytes read and written", "system.disk.io", "Bps", BY_DIRECTION, about)


def disk_operations() -> Panel:
    about = "Reads and writes per second on all disks, by host."
    return of_host("Operations", "system.disk.operations", "iops", BY_DIRECTION, about)


def disk_time() -> Panel:
    about = (
        "Seconds that a device spent on operations in each second: near 1 it is busy all the time."
    )
    return of_host(
        "Time in operations, by device", "system.disk.time", "percentunit", BY_DEVICE, about
    )


def network_bytes() -> Panel:
    about = "Bytes per second on all network interfaces, by host."
    return of_host("Bytes sent and received", "system.network.io", "Bps", BY_DIRECTION, about)


def network_errors() -> Panel:
    about = "Network errors per second. Any is worth a look."
    return of_host("Errors, by device", "system.network.errors", "cps", BY_DEVICE, about)


def network_drops() -> Panel:
    """The agent's name of the metric; a collector's lacks its last part."""
    names = ("system.network.dropped.packets", "system.network.dropped")
    statement = sql.rates(names, BY_DEVICE, HERE, alike=True)
    about = "Packets per second that the host dropped."
    return lines_of("Packets dropped, by device", statement, "pps", about=about)


def of_host(title: str, metric: str, unit: str, by: str, about: str) -> Panel:
    return lines_of(title, sql.rates(metric, by, HERE, alike=True), unit, about=about)


def file_systems() -> Panel:
    points = " UNION ALL ".join(
        f"""SELECT TimeUnix, toString({sql.HOST}) AS host, {sql.label("system.filesystem.mountpoint", "mountpoint")} AS mount,
            {sql.label("system.filesystem.state", "state")} AS state, Value
        FROM otel.otel_metrics_{table}
        WHERE MetricName = 'system.filesystem.usage' AND {sql.in_window("TimeUnix")}
            AND {HERE}
        """
        for table in ("gauge", "sum")
    )
    return table_of(
        "File systems",
        f"""
        SELECT host, mount, argMaxIf(Value, TimeUnix, state = 'used') AS used,
            argMaxIf(Value, TimeUnix, state = 'free') AS free, used / (used + free) AS full
        FROM ({points})
        GROUP BY host, mount
        ORDER BY full DESC, host, mount
        LIMIT 200
        """,
        about="The newest value for each; from a collector's host metrics. Orange from 85 % full, red from 95 %.",
        limits={"full": Limits(0.85, 0.95)},
        units={"used": "bytes", "free": "bytes", "full": "percentunit"},
        gauges=["full"],
    )


# Processes

THESE = f"{HERE} AND {sql.chosen('ServiceName', 'service')}"


def processes() -> Panel:
    said = (
        ("cpu.utilization", "processor"),
        ("memory.usage", "memory"),
        ("thread.count", "threads"),
        ("open_file_descriptor.count", "files"),
    )
    columns = ", ".join(
        f"avgIf(Value, MetricName = 'process.{metric}') AS {name}" for metric, name in said
    )
    tables = " UNION ALL ".join(
        f"""SELECT ServiceName, ResourceAttributes, Instance, Host, MetricName, TimeUnix, Value
        FROM otel.otel_metrics_{table}
        WHERE MetricName IN {tuple(f"process.{metric}" for metric, _ in said)}
            AND {sql.in_window("TimeUnix")} AND {THESE}
        """
        for table in ("gauge", "sum")
    )
    return table_of(
        "Processes",
        f"""
        SELECT
            toString(ServiceName) AS service,
            ResourceAttributes['service.version'] AS version,
            toString({sql.HOST}) AS host,
            toString(Instance) AS instance,
            {columns},
            max(TimeUnix) AS last
        FROM ({tables})
        GROUP BY service, version, host, instance
        ORDER BY memory DESC, service, instance
        LIMIT 500
        """,
        about="Means over the window.",
        units={"processor": "percentunit", "memory": "bytes"},
        links={"service": ("Open", to_service("${__value.raw}"))},
    )


def process_processor() -> Panel:
    about = "Share of the host's processors that the busiest process of each service used."
    return of_process("Processor", "process.cpu.utilization", "percentunit", about)


def process_memory() -> Panel:
    about = "Memory of the largest process of each service."
    return of_process("Memory", "process.memory.usage", "bytes", about)


def process_files() -> Panel:
    about = "Open file descriptors of the process of each service that has most."
    return of_process("Open files", "process.open_file_descriptor.count", "short", about)


def of_process(title: str, metric: str, unit: str, about: str) -> Panel:
    """The greatest of each service's processes; by service, so that a line can link to its traces."""
    statement = sql.levels(metric, "toString(ServiceName)", THESE)
    return lines_of(f"{title}, by service", statement, unit, about=about, links=[SEARCH])
