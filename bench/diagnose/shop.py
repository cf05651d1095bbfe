"""The model of the shop with one fault after the other, and the cause that clew names for each."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from process import Up, run, send_each
from shop.model import Shop
from shop.telemetry import logs_request, metrics_request, traces_request

from clew.shop.faults import KNOWN

BASELINE, QUIET = 60, 30  # minutes: the first hour is the baseline; then some without a fault
LENGTH, EVERY = 5, 10  # minutes of a fault, and from one to the next
RATE = 1.5  # requests a second
LAST = "orders_memory_leak"  # what it leaked stays in memory
PATIENCE = 1200.0  # seconds until everything is settled


@dataclass(frozen=True)
class Asked:
    """The answer for one window. `fault` is empty where there was none."""

    fault: str
    seed: int
    document: dict[str, Any]

    @property
    def causes(self) -> list[dict[str, Any]]:
        causes: list[dict[str, Any]] = self.document["causes"]
        return causes

    @property
    def rank(self) -> int | None:
        """The place of the faulty service, from 1."""
        service = KNOWN[self.fault].truth.service
        services = [cause["service"] for cause in self.causes]
        return services.index(service) + 1 if service in services else None

    @property
    def is_kind_right(self) -> bool:
        """Whether the faulty service is named with the right kind of cause."""
        truth = KNOWN[self.fault].truth
        return self.rank is not None and self.causes[self.rank - 1]["kind"] == truth.kind

    def as_json(self) -> dict[str, Any]:
        truth = KNOWN[self.fault].truth if self.fault else None
        return {
            "fault": self.fault,
            "seed": self.seed,
            "service": truth.service if truth else None,
            "kind": truth.kind if truth else None,
            "rank": self.rank if truth else None,
            "causes": [
                {
                    "service": cause["service"],
                    "kind": cause["kind"],
                    "operation": cause["operation"],
                    "score": round(cause["score"], 3),
                }
                for cause in self.causes[:4]
            ],
            "none_because": self.document["none_because"],
        }


def names() -> list[str]:
    """The faults in the order in which they come."""
    return [*(name for name in KNOWN if name != LAST), LAST]


def measure(seeds: Sequence[int], directory: Path) -> dict[str, Any]:
    """Store a shop for each seed in a clew on a new data directory, and ask for every window."""
    first_fault = BASELINE + QUIET
    plan = [
        (name, first_fault + EVERY * place, first_fault + EVERY * place + LENGTH)
        for place, name in enumerate(names())
    ]
    minutes = plan[-1][2]
    now = int(time.time()) // 60 * 60
    starts = {seed: now - (place + 1) * (minutes + 60) * 60 for place, seed in enumerate(seeds)}
    answers = []
    with Up(directory) as up, httpx.Client(base_url=up.endpoints["api"], timeout=300) as api:
        for seed, start in starts.items():
            shop = Shop(seed, start, rate=RATE, plan=plan)
            run(partial(send_each, up.endpoints["otlp_http"], requests(shop, minutes), 2))
        _wait_until_settled(api)
        before = up.cpu()
        for seed, start in starts.items():
            windows = [("", minute) for minute in range(BASELINE, first_fault, LENGTH)]
            windows += [(name, since) for name, since, _ in plan]
            answers += [_ask(api, name, seed, start, minute) for name, minute in windows]
        spent = (up.cpu() - before) / len(answers)
    return _scores(answers) | {"cpu_seconds_per_answer": round(spent, 3)}


def requests(shop: Shop, minutes: int) -> Iterator[tuple[str, bytes]]:
    """Path and body of the export requests of so many minutes."""
    for _ in range(minutes):
        made = shop.minute()
        yield "/v1/traces", traces_request(made.spans).SerializeToString()
        yield "/v1/logs", logs_request(made.logs).SerializeToString()
        yield "/v1/metrics", metrics_request(made.points).SerializeToString()


def _wait_until_settled(api: httpx.Client) -> None:
    """Until all that was sent is stored and settled. Raises TimeoutError."""
    sent = time.time()
    while time.time() < sent + PATIENCE:
        ledger = api.get("/api/v1/ledger", params={"start": "-1d", "wait": "10"}).json()
        answer = api.get("/api/v1/compare", params={"slow": "true", "wait": "10"}).json()
        settled = answer["settled_until"] or "1970-01-01T00:00:00Z"
        is_stored = not any(signal["pending"] for signal in ledger["signals"])
        if is_stored and datetime.fromisoformat(settled[:19] + "+00:00").timestamp() > sent:
            return
        time.sleep(3)
    raise TimeoutError("not all traces were settled")


def _ask(api: httpx.Client, fault: str, seed: int, start: int, minute: int) -> Asked:
    """Of all traces of a window, against the first hour."""
    response = api.get(
        "/api/v1/diagnose",
        params={
            "start": str(start + minute * 60),
            "end": str(start + (minute + LENGTH) * 60),
            "baseline_start": str(start),
            "baseline_end": str(start + BASELINE * 60),
        },
    )
    response.raise_for_status()
    return Asked(fault, seed, response.json())


def _scores(answers: Sequence[Asked]) -> dict[str, Any]:
    faults = [answer for answer in answers if answer.fault]
    quiet = [answer for answer in answers if not answer.fault]
    return {
        "faults": len(faults),
        "as_1": _share([answer.rank == 1 for answer in faults]),
        "as_3": _share([(answer.rank or 99) <= 3 for answer in faults]),
        "kind": _share([answer.is_kind_right for answer in faults]),
        "quiet_windows": len(quiet),
        "quiet": _share([not answer.causes for answer in quiet]),
        "answers": [answer.as_json() for answer in answers],
    }


def _share(flags: Sequence[bool]) -> float:
    return round(sum(flags) / len(flags), 3)
