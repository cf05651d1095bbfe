"""Asks clew for the cause of each fault, and scores the answers."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from process import Up, run, send_each

from .nezha import SECOND, Fault, NezhaDay
from .otlp import requests

LENGTH = 180 * SECOND  # of a fault's window: the data have two to three minutes of each
# Windows without a fault: parts of minutes. Before a fault they end a little earlier, because some
# are switched on seconds before the time that the data name.
PART, BEFORE, CLEAR = 30 * SECOND, 60 * SECOND, 5 * SECOND
PATIENCE = 900.0  # seconds until everything is settled


@dataclass(frozen=True)
class Answered:
    """The answer for one window. `fault` is None where there was none."""

    fault: Fault | None
    start: int
    end: int
    document: Mapping[str, Any]

    @property
    def services(self) -> list[str]:
        return [cause["service"] for cause in self.document["causes"]]

    @property
    def traces(self) -> int:
        impact = self.document["impact"]
        return impact["traces"] if impact else 0

    @property
    def rank(self) -> int | None:
        """The place of the faulty service, from 1."""
        if self.fault is None or self.fault.service not in self.services:
            return None
        return self.services.index(self.fault.service) + 1

    @property
    def place_rank(self) -> int | None:
        """The place of the faulty code among those of the first cause."""
        if self.fault is None or not self.document["causes"]:
            return None
        for rank, place in enumerate(self.document["causes"][0]["places"], 1):
            if place["place"] in self.fault.places:
                return rank
        return None

    def as_json(self) -> dict[str, Any]:
        causes = [
            {
                "service": cause["service"],
                "kind": cause["kind"],
                "operation": cause["operation"],
                "score": round(cause["score"], 3),
                "places": [place["place"] for place in cause["places"][:5]],
            }
            for cause in self.document["causes"][:5]
        ]
        fault = self.fault
        return {
            "time": self.start // SECOND,
            "seconds": (self.end - self.start) // SECOND,
            "service": fault.service if fault else None,
            "type": fault.kind if fault else None,
            "traces": self.traces,
            "rank": self.rank,
            "wanted_places": list(fault.places) if fault else [],
            "place_rank": self.place_rank,
            "causes": causes,
            "none_because": self.document["none_because"],
        }


def measure(day: NezhaDay, directory: Path) -> dict[str, Any]:
    """Store the day in a clew on a new data directory, and ask for every window."""
    with Up(directory) as up, httpx.Client(base_url=up.endpoints["api"], timeout=120) as api:
        run(lambda: send_each(up.endpoints["otlp_http"], requests(day), 2))
        wait_until_settled(api, day)
        before = up.cpu()
        faults = [_ask(api, day, fault, fault.start, fault.start + LENGTH) for fault in day.faults]
        spent = (up.cpu() - before) / max(1, len(faults))
        quiet = [_ask(api, day, None, *window) for window in usual_windows(day)]
        before_faults = [
            _ask(api, day, None, fault.start - BEFORE, fault.start - CLEAR) for fault in day.faults
        ]
    early = sum(
        answer.services[:1] == [fault.service]
        for answer, fault in zip(before_faults, day.faults, strict=True)
    )
    return _scores(faults, quiet + before_faults) | {
        "quiet_names_the_next_fault": early,
        "cpu_seconds_per_answer": round(spent, 3),
    }


def wait_until_settled(api: httpx.Client, day: NezhaDay) -> None:
    """Until all that was sent is stored, and every trace of the day is settled. Raises
    TimeoutError."""
    traces = len({span.trace for span in day.spans})
    until = time.monotonic() + PATIENCE
    first, last = _extent(day)
    window = {"start": str(first), "end": str(last), "wait": "10"}
    while time.monotonic() < until:
        ledger = api.get("/api/v1/ledger", params={"start": "-1d", "wait": "10"}).json()
        if not any(signal["pending"] for signal in ledger["signals"]):
            sets = api.get("/api/v1/compare", params=window | {"slow": "true"}).json()
            if sets["a"]["traces"] + sets["b"]["traces"] >= traces:
                return
        time.sleep(1)
    raise TimeoutError("not all traces were settled")


def usual_windows(day: NezhaDay) -> Iterator[tuple[int, int]]:
    """Half minutes of the recording without faults."""
    if day.usual:
        start, end = day.usual
        for part in range(start, end - PART, PART):
            yield part, part + PART


def _ask(api: httpx.Client, day: NezhaDay, fault: Fault | None, start: int, end: int) -> Answered:
    """Of all traces, against the day's other minutes."""
    first, last = _extent(day)
    response = api.get(
        "/api/v1/diagnose",
        params={
            "start": str(start),
            "end": str(end),
            "baseline_start": str(first),
            "baseline_end": str(last),
        },
    )
    response.raise_for_status()
    return Answered(fault, start, end, response.json())


def _extent(day: NezhaDay) -> tuple[int, int]:
    starts = [span.start for span in day.spans]
    return min(starts), max(starts) + 1


def _scores(faults: Sequence[Answered], quiet: Sequence[Answered]) -> dict[str, Any]:
    judged = [answer for answer in faults if answer.traces]
    code = [answer for answer in judged if answer.fault and answer.fault.is_of_code]
    coded = [answer for answer in code if answer.fault and answer.fault.places]
    silent = [
        answer
        for answer in quiet
        if "no settled traces" not in (answer.document["none_because"] or "")
    ]
    return {
        "faults": len(judged),
        "without_traces": len(faults) - len(judged),
        "as_1": _share(answer.rank == 1 for answer in judged),
        "as_3": _share((answer.rank or 99) <= 3 for answer in judged),
        "code_faults": len(coded),
        "place_1": _share(answer.place_rank == 1 for answer in coded),
        "place_3": _share((answer.place_rank or 99) <= 3 for answer in coded),
        "quiet_windows": len(silent),
        "quiet": _share(not answer.services for answer in silent),
        "answers": [answer.as_json() for answer in faults],
        "quiet_answers": [answer.as_json() for answer in silent],
    }


def _share(values: Iterator[bool]) -> float | None:
    flags = list(values)
    return round(sum(flags) / len(flags), 3) if flags else None
