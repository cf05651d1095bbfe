"""The command `clew`.

Commands of the platform need the extra `server`; `clew run` needs the agent alone, so nothing of
the server is imported before a command that is part of it was asked for.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path

from clew.access import SCOPES, KeysError, add_key, new_key
from clew.cli import settings as settings_module
from clew.cli.settings import API_KEYS, UsageError

SERVER_COMMANDS = {
    "up": "collector, database and API in one process, on the embedded engine",
    "demo": "up, and a small shop under automatic instrumentation with a load on it",
    "collect": "an OTLP collector that writes to --dsn",
    "serve": "the API over --dsn",
    "migrate": "bring the schema up to date",
    "backup": "copy the embedded database to a file or directory, while clew up runs or not",
    "restore": "make the database of an empty --data directory from a backup",
    "move": "copy the embedded database to a ClickHouse server, and compare the two",
    "backfill": "apply the definitions of business transactions to what is stored",
    "replay": "send again what the engine refused and the collector set aside",
}


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the exit status."""
    parsed = _parser().parse_args(arguments)
    try:
        if parsed.command == "run":
            return _run(parsed)
        if parsed.command == "key":
            return _key(parsed)
        return _server_command(parsed)
    except (UsageError, KeysError) as error:
        print(f"clew: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        if error.filename is None:
            raise
        print(f"clew: {os.fsdecode(error.filename)}: {error.strerror}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="clew",
        description="Follow one business transaction through every service, "
        "with its traces, metrics and logs joined.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = commands.add_parser(
        "run", help="start CMD with automatic instrumentation", usage="clew run [options] -- CMD…"
    )
    run.add_argument("--service", metavar="NAME", help="the service's name (OTEL_SERVICE_NAME)")
    run.add_argument(
        "--endpoint", metavar="URL", help="where OTLP goes (OTEL_EXPORTER_OTLP_ENDPOINT)"
    )
    run.add_argument("cmd", nargs=argparse.REMAINDER, metavar="-- CMD…")
    key = commands.add_parser(
        "key",
        help="make an API key",
        description="Print a new API key, once, and put its hash into the file of keys.",
    )
    key.add_argument("name", metavar="NAME", help="whose key it is")
    key.add_argument(
        "--scope",
        action="append",
        choices=SCOPES,
        help="what it is for; may be given twice (default ingest)",
    )
    settings_module.add_flag(key, API_KEYS)
    for name, help in SERVER_COMMANDS.items():
        command = commands.add_parser(name, help=help, description=help)
        settings_module.add_flags(command)
        if name == "migrate":
            command.add_argument(
                "--dry-run", action="store_true", help="only say what would be run"
            )
        if name == "replay":
            command.add_argument(
                "--list", action="store_true", help="only say what there is, and why"
            )
        if name == "backfill":
            command.add_argument("--start", metavar="TIME", help="RFC 3339, or such as -7d")
            command.add_argument("--end", metavar="TIME", help="likewise")
            command.add_argument(
                "--transaction", metavar="ID", dest="only", help="this definition alone"
            )
        if name == "backup":
            command.add_argument(
                "target",
                type=Path,
                metavar="FILE_OR_DIR",
                help="a new file whose name ends in .tar, or else a new directory",
            )
        if name == "move":
            command.add_argument(
                "target", metavar="DSN", help="clickhouse://user:password@host:8123/"
            )
        if name == "restore":
            command.add_argument("source", type=Path, metavar="FILE_OR_DIR", help="the backup")
        if name == "demo":
            command.add_argument(
                "--rate", type=float, default=20.0, help="requests per second (default 20)"
            )
            command.add_argument("--seconds", type=float, help="stop by itself after this long")
    return parser


def _run(parsed: argparse.Namespace) -> int:
    from clew.cli.run import run

    command = parsed.cmd[1:] if parsed.cmd[:1] == ["--"] else parsed.cmd
    if not command:
        raise UsageError("run: say what to start: clew run -- python app.py")
    run(command, service_name=parsed.service, endpoint=parsed.endpoint)


def _key(parsed: argparse.Namespace) -> int:
    key, line = new_key(parsed.name, parsed.scope or ["ingest"])
    if path := settings_module.api_keys(parsed):
        add_key(path, line)
        print(key)
    else:
        print(f"{key}\n\nThe line for the file that --api-keys names:\n{line}")
    return 0


def _server_command(parsed: argparse.Namespace) -> int:
    settings = settings_module.resolve(parsed)
    try:
        from clew.cli import backfill, backup, demo, move, platform, replay
        from clew.cli.opening import open_store
        from clew.storage import StorageError, migrate
    except ImportError as error:
        raise UsageError(
            f"clew {parsed.command} needs the server's packages ({error.name} is missing): "
            "pip install 'clew[server]'"
        ) from error
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    for chatty in ("uvicorn", "httpx"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    for chatty in ("urllib3", "clickhouse_connect"):  # whoever asked says what came of it
        logging.getLogger(chatty).setLevel(logging.ERROR)
    try:
        if parsed.command == "migrate":
            for migration in migrate(open_store(settings), dry_run=parsed.dry_run):
                pending = " (pending)" if parsed.dry_run else ""
                print(f"{migration.version:04}_{migration.name}{pending}")
        elif parsed.command == "backup":
            backup.backup(settings, parsed.target)
        elif parsed.command == "restore":
            backup.restore(settings, parsed.source)
        elif parsed.command == "move":
            return 0 if move.move(settings, parsed.target) else 1
        elif parsed.command == "backfill":
            backfill.backfill(settings, parsed.start, parsed.end, parsed.only)
        elif parsed.command == "replay":
            if parsed.list:
                replay.show(settings.data)
            else:
                return 1 if replay.replay(settings.data) else 0
        elif parsed.command == "demo":
            demo.run(settings, rate=parsed.rate, seconds=parsed.seconds)
        else:
            parts = {"up": platform.UP, "collect": platform.COLLECT, "serve": platform.SERVE}
            platform.run(settings, parts[parsed.command], _report)
    except StorageError as error:
        raise UsageError(str(error)) from error
    return 0


def _report(endpoints: dict[str, str]) -> None:
    print("clew is ready", flush=True)
    for name, url in endpoints.items():
        print(f"  {name:<10} {url}", flush=True)
