"""`python -m clew.shop SERVICE`: one process of the shop, or the load on it."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

from clew.shop import fleet

_WEB = (*fleet.WEB_SERVICES, fleet.BANK_PROCESS)


def main() -> None:
    arguments = _parser().parse_args()
    if arguments.command == "load":
        from clew.shop import load

        load.run(
            arguments.url,
            rate=arguments.rate,
            duration_s=arguments.duration,
            seed=arguments.seed,
            path=arguments.report,
        )
        return
    from clew.shop import service

    service.configure_logging()
    module = importlib.import_module(f"clew.shop.{arguments.command}")
    if arguments.command in _WEB:
        service.serve(module.app(), host=arguments.host, port=arguments.port)
    else:
        module.work()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m clew.shop", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in _WEB:
        web = commands.add_parser(name)
        web.add_argument("--host", default="127.0.0.1")
        web.add_argument("--port", type=int, required=True)
    for name in fleet.WORKERS:
        commands.add_parser(name)
    load = commands.add_parser("load")
    load.add_argument("--url", required=True, help="base URL of the storefront")
    load.add_argument("--rate", type=float, default=10.0, help="requests a second")
    load.add_argument("--duration", type=float, default=0.0, help="seconds; 0 is until SIGTERM")
    load.add_argument("--seed", type=int, default=None)
    load.add_argument("--report", type=Path, default=None, help="file; stdout if not given")
    return parser


if __name__ == "__main__":
    main()
