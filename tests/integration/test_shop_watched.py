"""Each fault of the shop, after an hour of history: one problem, with the right headline, that ends
when the fault does."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from shop.model import PROCESSES, Shop

from clew.shop import fleet
from clew.shop.faults import BANK, KNOWN, NEW_VERSION, TENANT
from clew.storage import Ingest, Store
from support.watched_shop import WatchedShop
from support.watched_world import remember_hours

SINCE, UNTIL, END = 60, 75, 120  # minutes
FOUND_WITHIN, ENDED_WITHIN = 6, 30  # minutes after the fault's begin, and after its end
CHARGES, PRODUCT = "payments POST /charges", "inventory GET /products/{sku}"
SLOW, FAILED = "slow requests", "failed requests"
HEADLINES = {
    "payment_latency": f"{CHARGES}: {SLOW}",
    "payment_errors": f"{CHARGES}: {FAILED}",
    "inventory_n_plus_one": f"inventory GET /products: {SLOW}",
    "storefront_loop_blocked": f"storefront: GET /: {SLOW}",
    "inventory_pool_of_one": f"{PRODUCT}: {SLOW}",
    # It and orders call each other, and orders is noticed first.
    "inventory_lock_contention": f"inventory POST /shipments/{{order_id}}: {SLOW}",
    "storefront_n_plus_one": f"storefront: GET /products: {SLOW}",
    "storefront_serial": f"storefront: GET /products: {SLOW}",
    "bank_slow": f"payments → {BANK}: {SLOW}",
    "bank_retry_storm": f"payments → {BANK}: {FAILED}",
    "payments_bad_version": f"{CHARGES}: {SLOW}",
    # A quarter of the orders is slow, which may be usual of a series of which an hour is known.
    "orders_bad_tenant": f"orders POST /orders: {SLOW} ",
    "inventory_bad_instance": f"{PRODUCT}: {SLOW}",
    "inventory_queue_lag": f"inventory POST /shipments/{{order_id}}: {SLOW}",
    "storefront_swallowed_errors": f"inventory GET /shelves/{{shelf}}: {FAILED}",
    "storefront_cache_off": f"storefront: POST /cart: {SLOW}",
}
UNSEEN = {
    "orders_memory_leak": "no request is slower, and an hour of a process' memory says nothing yet",
}
QUICK = ("payments_bad_version",)


def test_every_fault_is_either_seen_or_not() -> None:
    assert HEADLINES.keys() | UNSEEN.keys() == KNOWN.keys()


@pytest.mark.parametrize(
    "fault",
    [
        fault if fault in QUICK else pytest.param(fault, marks=pytest.mark.slow)
        for fault in ("", *KNOWN)
    ],
)
def test_a_fault_is_one_problem(store: Store, ingest: Ingest, tmp_path: Path, fault: str) -> None:
    start = int(time.time()) // 3600 * 3600 - 6 * 3600 + 600  # no hour of the clock
    shop = Shop(1, start, rate=1.5, plan=[(fault, SINCE, UNTIL)])
    watched = WatchedShop(store, ingest, tmp_path, shop, start, END)
    watched.watch_from(0 if not fault else SINCE - 1, END)
    messages = watched.messages()
    if not fault or fault in UNSEEN:
        assert [message.notification.headline for message in messages] == []
        return
    assert [str(message.notification.transition) for message in messages] == ["fired", "resolved"]
    fired, resolved = messages
    assert fired.notification.headline.startswith(HEADLINES[fault])
    assert SINCE < fired.minute <= SINCE + FOUND_WITHIN
    assert resolved.notification.headline.startswith(HEADLINES[fault])
    assert UNTIL < resolved.minute <= UNTIL + ENDED_WITHIN
    if fault == "orders_bad_tenant":
        assert fired.notification.explanation["attribute"].endswith(f"tenant = {TENANT}")
    named = fired.notification.explanation.get("version")
    assert named == (NEW_VERSION if fault == "payments_bad_version" else None)
    # What had few failures is open for as long as its window reaches back, and told to nobody.
    assert all(record.because_of for record in watched.open())


NO_LIMIT = ("inventory_n_plus_one", "storefront_cache_off")  # findings tell of them


@pytest.mark.sampled(6)
@pytest.mark.parametrize("fault", ["", *KNOWN])
def test_the_limits_of_the_demo_tell_of_a_fault_without_a_past(
    store: Store, ingest: Ingest, tmp_path: Path, fault: str
) -> None:
    start = int(time.time()) // 3600 * 3600 - 6 * 3600 + 600
    leaks = fault == "orders_memory_leak"
    since, end = 3, 20 if leaks else 10
    shop = Shop(1, start, rate=20 if leaks else 5, plan=[(fault, since, end)])
    rules = fleet.ALERTS.read_text()
    watched = WatchedShop(store, ingest, tmp_path, shop, start, end, rules)
    watched.watch_from(0, end)
    fired = [message.minute for message in watched.messages()]
    if not fault or fault in NO_LIMIT:
        assert fired == []
    else:
        assert fired
        assert since < fired[0] <= (end if leaks else since + 5)


@pytest.mark.slow
def test_a_leak_is_one_problem_once_memory_is_known(
    store: Store, ingest: Ingest, tmp_path: Path
) -> None:
    start = int(time.time()) // 3600 * 3600 - 6 * 3600 + 600
    shop = Shop(1, start, rate=1.5, plan=[("orders_memory_leak", SINCE, UNTIL)])
    watched = WatchedShop(store, ingest, tmp_path, shop, start, END)
    for service in {process.service for process in PROCESSES}:
        remember_hours(store, start, "process", service, "process.memory.usage", 90e6, "demo")
    watched.watch_from(SINCE - 1, END)
    (fired,) = watched.messages()  # the memory stays with the process, so the problem does
    assert fired.notification.headline.startswith("orders: memory of processes ")
    assert SINCE < fired.minute <= UNTIL + 20
