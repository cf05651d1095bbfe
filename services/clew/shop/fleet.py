"""How the shop's processes are started. Starting them is left to whoever asks."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from clew.shop.faults import NEW_VERSION, SECOND_INSTANCE

BANK_PROCESS = "bank"
NEW_PAYMENTS = "payments-new"
# In the order in which they are best started: each after those it calls.
WEB_SERVICES = ("payments", "orders", "inventory", "storefront")
WORKERS = ("fulfilment",)
SERVICES = (*WEB_SERVICES, *WORKERS)
# What a large shop has besides: a third party, a second instance, and a new version.
LARGE = (BANK_PROCESS, SECOND_INSTANCE, NEW_PAYMENTS)

# What a business transaction of the shop is.
TRANSACTIONS = Path(__file__).with_name("transactions.yaml")
# What is a problem of a shop that has no fault of its own.
ALERTS = Path(__file__).with_name("alerts.yaml")


class Command(NamedTuple):
    """One process: its arguments, what its environment needs in addition, where it listens, and of
    which version of which service it is an instance.

    A process with a port accepts TCP connections on it as soon as it is ready; `port` is None for
    a worker, which is ready when it runs. `service` is empty for a third party, which sends no
    telemetry.
    """

    argv: list[str]
    env: dict[str, str]
    port: int | None
    service: str = ""
    version: str = "1.0.0"


def ports_from(first: int) -> dict[str, int]:
    """Consecutive ports for the web services; the storefront has the first."""
    return {name: first + offset for offset, name in enumerate(reversed(WEB_SERVICES))}


def commands(data: Path, ports: Mapping[str, int], *, faults: str = "") -> dict[str, Command]:
    """The command of each of SERVICES, by the service's name, in the order to start them.

    `data` is the directory of the shop's databases, `ports` has one for each of WEB_SERVICES, and
    `faults` is in the syntax of SHOP_FAULTS. With ports for those of LARGE it is a large shop.
    """
    env = {"SHOP_DATA": str(data), "SHOP_FAULTS": faults}
    env |= {f"SHOP_{name.upper()}_URL": _url(ports[name]) for name in WEB_SERVICES}
    if not set(LARGE) <= set(ports):
        return {name: _command(name, ports.get(name), env) for name in SERVICES}
    env["SHOP_BANK_URL"] = _url(ports[BANK_PROCESS])
    env["SHOP_PAYMENTS_NEW_URL"] = _url(ports[NEW_PAYMENTS])
    env["SHOP_INVENTORY_URL"] += f",{_url(ports[SECOND_INSTANCE])}"
    # Whose request it is shows in the spans of the services that are told so.
    env["OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST"] = "x-tenant"
    second = _command(
        "inventory", ports[SECOND_INSTANCE], {**env, "SHOP_INSTANCE": SECOND_INSTANCE}
    )
    new = _command("payments", ports[NEW_PAYMENTS], {**env, "SHOP_INSTANCE": NEW_PAYMENTS})
    return {
        BANK_PROCESS: _command(BANK_PROCESS, ports[BANK_PROCESS], env)._replace(service=""),
        SECOND_INSTANCE: second,
        NEW_PAYMENTS: new._replace(version=NEW_VERSION),
        **{name: _command(name, ports.get(name), env) for name in SERVICES},
    }


def load_command(
    storefront_port: int, *, rate: float, duration_s: float, seed: int, report: Path
) -> Command:
    """The load generator; it writes its JSON report to `report` when it ends or gets SIGTERM."""
    argv = [sys.executable, "-m", "clew.shop", "load", "--url", _url(storefront_port)]
    argv += ["--rate", str(rate), "--duration", str(duration_s)]
    argv += ["--seed", str(seed), "--report", str(report)]
    return Command(argv, {}, None)


def _command(name: str, port: int | None, env: dict[str, str]) -> Command:
    argv = [sys.executable, "-m", "clew.shop", name]
    if port is not None:
        argv += ["--port", str(port)]
    return Command(argv, dict(env), port, name)


def _url(port: int) -> str:
    return f"http://127.0.0.1:{port}"
