"""The metrics of processes that are watched: CPU, memory, garbage, event loops, pools."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Unit = Literal["cores", "1", "By", "s", "/s", ""]


@dataclass(frozen=True)
class ProcessMetric:
    """A metric, in words; `least`: an amount that never matters, in its unit."""

    text: str
    unit: Unit
    least: float


# Histograms count by their sum: seconds of pauses a second.
METRICS: Mapping[str, ProcessMetric] = {
    "process.cpu.time": ProcessMetric("CPU of processes", "cores", 0.05),
    "process.cpu.utilization": ProcessMetric("CPU of processes", "1", 0.05),
    "jvm.cpu.recent_utilization": ProcessMetric("CPU of processes", "1", 0.05),
    "process.memory.usage": ProcessMetric("memory of processes", "By", 20e6),
    "jvm.memory.used": ProcessMetric("memory of the JVM", "By", 20e6),
    "cpython.gc.collections": ProcessMetric("garbage collections", "/s", 1.0),
    "jvm.gc.duration": ProcessMetric("garbage collection", "1", 0.02),
    "v8js.gc.duration": ProcessMetric("garbage collection", "1", 0.02),
    "nodejs.eventloop.utilization": ProcessMetric("event loop", "1", 0.1),
    "nodejs.eventloop.delay.p99": ProcessMetric("delay of the event loop", "s", 0.02),
    "db.client.connection.count": ProcessMetric("connections in use", "", 2.0),
    "db.client.connections.usage": ProcessMetric("connections in use", "", 2.0),
    "db.client.connection.pending_requests": ProcessMetric("requests for connections", "", 1.0),
    "db.client.connections.pending_requests": ProcessMetric("requests for connections", "", 1.0),
}
