"""Nezha's data set as telemetry: two benchmark systems (TrainTicket and OnlineBoutique) in which
faults were injected one after the other, with spans, log records and metrics by the minute.

What the files do not say is decided here once, so that results compare:

- rows that are in several files count once;
- a service is a pod without its two suffixes;
- a span is SERVER where its parent is in another pod or it is a root, CLIENT where all its children
  are in other pods, else INTERNAL; it has no status;
- severity and place in the code are parsed from TrainTicket's texts (`INFO  c.Orders#365`);
- the CPU usage of a pod is a gauge;
- a fault starts at `inject_time`: `inject_timestamp` is in another time zone, and one is wrong.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

SECOND = 10**9
CPU = "CpuUsageRate(%)"
LINE = re.compile(
    r"^[\d:.]+ +(?P<severity>[A-Z]+) +(?P<function>[^ #]+)#(?P<line>\d+) +(?P<text>.*)$", re.S
)
IDS = re.compile(r"TraceID: \w+ SpanID: \w+ ?")
HEX = re.compile(r"[0-9a-f]+")
SERVER, CLIENT, INTERNAL = "server", "client", "internal"


@dataclass(frozen=True)
class Span:
    """Times in nanoseconds since 1970. `parent`: '' for a root."""

    trace: str
    id: str
    parent: str
    pod: str
    name: str
    kind: str
    start: int
    end: int


@dataclass(frozen=True)
class Record:
    """A log record. `function` and `line`: the place in the code, '' and 0 if the text has none."""

    time: int
    pod: str
    trace: str
    span: str
    severity: str
    function: str
    line: int
    body: str


@dataclass(frozen=True)
class Point:
    """CPU usage of a pod, as a share of its limit."""

    time: int
    pod: str
    value: float


@dataclass(frozen=True)
class Fault:
    """`places`: in the code, between which a code fault was injected: functions with line numbers,
    or texts of log records. The first may be the start of a request, which is no place."""

    start: int
    service: str
    kind: str
    places: tuple[str, ...]

    @property
    def is_of_code(self) -> bool:
        return self.kind in ("return", "exception")


@dataclass(frozen=True)
class NezhaDay:
    """One day of the data set. `usual`: where the recording without faults starts and ends; None if
    the day has no spans of it."""

    spans: list[Span]
    records: list[Record]
    points: list[Point]
    faults: list[Fault]
    usual: tuple[int, int] | None


def read(folder: Path, day: str) -> NezhaDay:
    """The day (YYYY-MM-DD) of the data set in a folder, which contains `construct_data`, or is it.
    Raises FileNotFoundError."""
    root = folder.parent if folder.name == "construct_data" else folder
    usual, faulty = root / "construct_data" / day, root / "rca_data" / day
    faults = _faults(faulty / f"{day}-fault_list.json", root / "construct_data")
    spans = _spans([usual, faulty])
    starts = [int(row[5]) for row in _rows(usual / "trace")]
    return NezhaDay(
        spans,
        _records([usual, faulty]),
        _points([usual, faulty]),
        faults,
        (min(starts), max(starts) + 1) if starts else None,
    )


def _time(text: str) -> int:
    """The nanoseconds of a time as `2022-08-22 03:51:19.607158889 +0000 UTC`, to the second.
    (`TimeStamp` beside it is wrong on one of the days.)"""
    return int(datetime.fromisoformat(f"{text[:19]}+00:00").timestamp()) * SECOND


def service_of(pod: str) -> str:
    """The name of a pod without those of its replica set and itself."""
    return pod.rsplit("-", 2)[0]


def _faults(path: Path, usual: Path) -> list[Fault]:
    places: dict[str, dict[str, str]] = {}
    for name in ("root_cause_ts.json", "root_cause_hipster.json"):
        if (usual / name).exists():
            places |= json.loads((usual / name).read_text(encoding="utf-8"))
    faults = []
    for hour in json.loads(path.read_text(encoding="utf-8")).values():
        for row in hour:
            service, kind = service_of(row["inject_pod"]), row["inject_type"]
            text = places.get(service, {}).get(kind, "")
            is_place = kind in ("return", "exception")
            faults.append(
                Fault(
                    _time(row["inject_time"]),
                    service,
                    kind,
                    tuple(text.split("_")) if is_place and text else (),
                )
            )
    return sorted(faults, key=lambda fault: fault.start)


def _rows(folder: Path) -> Iterator[tuple[str, ...]]:
    """The rows of all files of a folder, those that are in several files once."""
    seen = set()
    for path in sorted(folder.glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.reader(file)
            next(reader, None)
            for row in map(tuple, reader):
                if row not in seen:
                    seen.add(row)
                    yield row


def _spans(folders: list[Path]) -> list[Span]:
    rows = list(dict.fromkeys(row for folder in folders for row in _rows(folder / "trace")))
    pods = {(row[0], row[1]): row[3] for row in rows}
    calls: dict[tuple[str, str], bool] = {}  # whether all children are in other pods
    for trace, _, parent, pod, *_ in rows:
        caller = (trace, parent)
        calls[caller] = calls.get(caller, True) and pods.get(caller) != pod
    spans = []
    for trace, span, parent, pod, name, start, end, *_ in rows:
        if not (HEX.fullmatch(trace) and HEX.fullmatch(span)):
            continue
        is_entry = parent == "root" or pods.get((trace, parent), pod) != pod
        kind = SERVER if is_entry else CLIENT if calls.get((trace, span)) else INTERNAL
        above = "" if parent == "root" else parent
        spans.append(Span(trace, span, above, pod, name, kind, int(start), int(end)))
    return spans


def _records(folders: list[Path]) -> list[Record]:
    rows = dict.fromkeys(row for folder in folders for row in _rows(folder / "log"))
    return [_record(row) for row in rows if row[1].isdigit()]


def _record(row: tuple[str, ...]) -> Record:
    _, time, _, pod, _, trace, span, log = row[:8]
    text, severity = log, ""
    try:  # what a container's runtime wraps around a line, and around that a service's own JSON
        text = json.loads(text)["log"]
        document = json.loads(text)
        text, severity = str(document["message"]), str(document.get("severity", "")).upper()
    except (ValueError, KeyError, TypeError):
        pass
    line = LINE.match(text)
    body = IDS.sub("", line["text"] if line else text).strip()
    return Record(
        int(time),
        pod,
        trace if HEX.fullmatch(trace) else "",
        span if HEX.fullmatch(span) else "",
        line["severity"] if line else severity,
        line["function"] if line else "",
        int(line["line"]) if line else 0,
        body,
    )


def _points(folders: list[Path]) -> list[Point]:
    points = set()
    for folder in folders:
        for path in sorted((folder / "metric").glob("*_metric.csv")):
            with path.open(encoding="utf-8", newline="") as file:
                for row in csv.DictReader(file):
                    if row.get(CPU):
                        points.add(Point(_time(row["Time"]), row["PodName"], float(row[CPU]) / 100))
    return sorted(points, key=lambda point: (point.pod, point.time))
