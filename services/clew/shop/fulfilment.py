"""Fulfilment: a plain loop that takes jobs from the queue and has their orders shipped."""

from __future__ import annotations

import logging
import signal
import threading

import httpx

from clew.shop import service
from clew.shop.queue import Job, Queue

_log = logging.getLogger(__name__)

_POLL_INTERVAL_S = 0.1
_RETRY_DELAY_S = 2.0


def work() -> None:
    """Work on jobs until SIGTERM or SIGINT; the job in hand is finished first."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    queue = Queue(service.data_directory() / "queue.db")
    inventory = service.client_of("inventory")
    _log.info("waiting for jobs")
    while not stop.is_set():
        job = queue.claim()
        if job is None:
            stop.wait(_POLL_INTERVAL_S)
        else:
            _ship(job, queue, inventory)


def _ship(job: Job, queue: Queue, inventory: httpx.Client) -> None:
    business = {"order_id": job.order_id, "user": job.user, "attempt": job.attempts}
    _log.info("job claimed", extra=business)
    try:
        inventory.post(f"/shipments/{job.order_id}").raise_for_status()
    except httpx.HTTPError:
        _log.exception("shipment failed, trying again later", extra=business)
        queue.retry(job, delay_s=_RETRY_DELAY_S)
        return
    queue.finish(job)
    _log.info("job done", extra=business)
