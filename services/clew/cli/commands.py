"""Every command of `clew`: one row each, with its flags and the function that runs it.

Commands of the platform need the extra `server`; `clew run` and `clew key` do with the agent alone.
So a command imports what it needs when it runs.
"""

from __future__ import annotations

import argparse
import gc
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clew.access import SCOPES, add_key, new_key
from clew.cli.settings import (
    API,
    API_KEYS,
    DATA,
    SETTINGS,
    Setting,
    Settings,
    UsageError,
    api_keys,
    resolve,
)

# Parameters of GET /api/v1/diagnose that are flags of `clew diagnose`.
POPULATION = ("service", "operation", "alert")
WINDOWS = ("environment", "start", "end", "baseline_start", "baseline_end")


@dataclass(frozen=True)
class Flag:
    """A flag (`--name`) or a positional argument (`name`)."""

    name: str
    options: Mapping[str, Any]


def flag(name: str, **options: Any) -> Flag:
    """`options` as argparse's add_argument takes them."""
    return Flag(name, options)


@dataclass(frozen=True)
class Command:
    """`run` gets the parsed arguments and returns the exit status. It may raise UsageError,
    StorageError and KeysError, whose text is then printed. `settings` are flags too; a platform's
    command takes all of them."""

    name: str
    help: str
    run: Callable[[argparse.Namespace], int]
    flags: Sequence[Flag] = ()
    settings: Sequence[Setting] = SETTINGS
    usage: str | None = None
    description: str = ""


def _run(arguments: argparse.Namespace) -> int:
    from clew.cli.run import explain, install, run

    command = arguments.cmd[1:] if arguments.cmd[:1] == ["--"] else arguments.cmd
    if not command:
        raise UsageError("run: say what to start: clew run -- python app.py")
    if arguments.install:
        install(command)
    start = explain if arguments.explain else run
    return start(command, service_name=arguments.service, endpoint=arguments.endpoint)


def _doctor(arguments: argparse.Namespace) -> int:
    from clew.cli.doctor import examination

    command = arguments.cmd[1:] if arguments.cmd[:1] == ["--"] else arguments.cmd
    if not command:
        data = DATA.value(DATA.text(arguments, os.environ))
        variable = os.environ.get(API.variable, "")
        return examination.of_store(
            arguments.api or "", variable, data, since=arguments.since, as_document=arguments.json
        )
    return examination.of_service(
        command,
        endpoint=arguments.endpoint,
        service_name=arguments.service,
        seconds=arguments.seconds,
        urls=arguments.request,
        as_document=arguments.json,
    )


def _alerts(arguments: argparse.Namespace) -> int:
    from clew.cli import alerts
    from clew.cli.client import Client

    client = Client.create(arguments.api or "", DATA.value(DATA.text(arguments, os.environ)))
    match arguments.action:
        case "silence":
            length, reason = arguments.length or "", arguments.reason or ""
            return alerts.silence(client, arguments.target, length, reason)
        case "import":
            if len(arguments.target) != 1:
                raise UsageError("alerts import: name one file of OpenSLO or Sloth")
            return alerts.import_file(Path(arguments.target[0]), as_document=arguments.json)
        case "test":
            if len(arguments.target) != 1:
                raise UsageError("alerts test: name one receiver, or one file with rules")
            (target,) = arguments.target
            if Path(target).suffix in (".yaml", ".yml", ".json"):
                return alerts.rehearse(client, Path(target), as_document=arguments.json)
            return alerts.test(client, target)
    if arguments.target:
        raise UsageError("alerts list takes nothing more")
    return alerts.show(client, with_ended=arguments.all, as_document=arguments.json)


def _findings(arguments: argparse.Namespace) -> int:
    from clew.cli import findings
    from clew.cli.client import Client

    client = Client.create(arguments.api or "", DATA.value(DATA.text(arguments, os.environ)))
    if arguments.action == "state":
        finding, state = [*arguments.target, "", ""][:2]
        return findings.change_state(client, finding, state, arguments.reason or "")
    if arguments.target:
        raise UsageError("findings list takes nothing more")
    filters = {name: getattr(arguments, name) for name in findings.FILTERS}
    return findings.show(client, filters, as_document=arguments.json)


def _diagnose(arguments: argparse.Namespace) -> int:
    from clew.cli import diagnose
    from clew.cli.client import Client

    client = Client.create(arguments.api or "", DATA.value(DATA.text(arguments, os.environ)))
    names = (*POPULATION, *WINDOWS)
    parameters = {name: value for name in names if (value := getattr(arguments, name))}
    if not arguments.transaction and not any(name in parameters for name in POPULATION):
        raise UsageError("diagnose: name a transaction, or --service, --operation or --alert")
    return diagnose.show(client, arguments.transaction, parameters, as_document=arguments.json)


def _key(arguments: argparse.Namespace) -> int:
    key, line = new_key(arguments.name, arguments.scope or ["ingest"])
    if path := api_keys(arguments):
        add_key(path, line)
        print(key)
    else:
        print(f"{key}\n\nThe line for the file that --api-keys names:\n{line}")
    return 0


def _platform(arguments: argparse.Namespace) -> int:
    gc.disable()  # what a start makes stays: to look for garbage in it takes 0.2 s
    try:
        settings = _start(arguments)
        from clew.cli import platform

        parts = {"up": platform.UP, "collect": platform.COLLECT, "serve": platform.SERVE}
        platform.run(settings, parts[arguments.command], _ready)
    finally:
        gc.enable()
    return 0


def _ready(endpoints: dict[str, str]) -> None:
    gc.freeze()
    gc.enable()
    _report(endpoints)


def _demo(arguments: argparse.Namespace) -> int:
    settings = _start(arguments)
    from clew.cli import demo
    from clew.shop.faults import KNOWN

    if arguments.fault not in ("", *KNOWN):
        known = ", ".join(KNOWN)
        raise UsageError(f"demo: no fault {arguments.fault!r}; there are: {known}")
    demo.run(settings, rate=arguments.rate, seconds=arguments.seconds, fault=arguments.fault)
    return 0


def _migrate(arguments: argparse.Namespace) -> int:
    settings = _start(arguments)
    from clew.cli.opening import open_store
    from clew.storage import migrate

    for migration in migrate(open_store(settings), dry_run=arguments.dry_run):
        pending = " (pending)" if arguments.dry_run else ""
        print(f"{migration.version:04}_{migration.name}{pending}")
    return 0


def _backup(arguments: argparse.Namespace) -> int:
    settings = _start(arguments)
    from clew.cli import backup

    backup.backup(settings, arguments.target)
    return 0


def _restore(arguments: argparse.Namespace) -> int:
    settings = _start(arguments)
    from clew.cli import backup

    backup.restore(settings, arguments.source)
    return 0


def _move(arguments: argparse.Namespace) -> int:
    settings = _start(arguments)
    from clew.cli import move

    return 0 if move.move(settings, arguments.target) else 1


def _backfill(arguments: argparse.Namespace) -> int:
    settings = _start(arguments)
    from clew.cli import backfill

    backfill.backfill(settings, arguments.start, arguments.end, arguments.only)
    return 0


def _replay(arguments: argparse.Namespace) -> int:
    settings = _start(arguments)
    from clew.cli import replay

    if arguments.list:
        replay.show(settings.data)
        return 0
    return 1 if replay.replay(settings.data) else 0


COMMANDS = (
    Command(
        "run",
        "start CMD with automatic instrumentation",
        _run,
        (
            flag("--service", metavar="NAME", help="the service's name (OTEL_SERVICE_NAME)"),
            flag("--endpoint", metavar="URL", help="where OTLP goes (OTEL_EXPORTER_OTLP_ENDPOINT)"),
            flag(
                "--explain",
                action="store_true",
                help="say what would be instrumented, and do not start CMD",
            ),
            flag(
                "--install",
                action="store_true",
                help="first install missing instrumentations, where no other package changes",
            ),
            flag("cmd", nargs=argparse.REMAINDER, metavar="-- CMD…"),
        ),
        settings=(),
        usage="clew run [options] -- CMD…",
    ),
    Command(
        "doctor",
        "say what is wrong with an instrumented service or a running clew, and the mend",
        _doctor,
        (
            flag("--service", metavar="NAME", help="the service's name (OTEL_SERVICE_NAME)"),
            flag("--endpoint", metavar="URL", help="where OTLP goes (OTEL_EXPORTER_OTLP_ENDPOINT)"),
            flag("--seconds", type=float, default=15.0, help="how long CMD is to run (default 15)"),
            flag(
                "--request",
                action="append",
                default=[],
                metavar="URL",
                help="send GET requests there meanwhile; may be given several times",
            ),
            flag(
                "--since",
                default="-1h",
                metavar="TIME",
                help="without CMD: look at what is stored since then, an hour at most "
                "(default -1h)",
            ),
            flag("--json", action="store_true", help="print a JSON document"),
            flag("cmd", nargs=argparse.REMAINDER, metavar="-- CMD…"),
        ),
        settings=(DATA, API),
        usage="clew doctor [options] [-- CMD…]",
        description="Start CMD under the agent for some seconds, end it, and say what is wrong, "
        "with the mend for each. Without CMD, look at a running clew through its API, which --api "
        "(host:port or URL) or --data name; CLEW_API_KEY is the key. The exit status is 1 if "
        "something is wrong.",
    ),
    Command(
        "alerts",
        "say what is wrong, make a silence, test a receiver or rules, through a running clew's API",
        _alerts,
        (
            flag(
                "action", nargs="?", choices=("list", "silence", "test", "import"), default="list"
            ),
            flag(
                "target",
                nargs="*",
                metavar="TARGET",
                help="silence: which alerts, as label=pattern; test: the receiver's name, or a "
                "file with rules (FILE.yaml, FILE.json)",
            ),
            flag("--all", action="store_true", help="list alerts that are over too"),
            flag("--json", action="store_true", help="print a JSON document"),
            flag("--for", dest="length", metavar="TIME", help="how long a silence lasts: 2h"),
            flag("--reason", metavar="TEXT", help="why there is a silence"),
        ),
        settings=(DATA, API),
        usage="clew alerts [list] [--all] [--json]\n"
        "       clew alerts silence LABEL=PATTERN… --for TIME --reason TEXT\n"
        "       clew alerts test RECEIVER\n"
        "       clew alerts test FILE.yaml [--json]\n"
        "       clew alerts import FILE.yaml [--json]",
        description="--api (host:port or URL) or --data name the running clew; CLEW_API_KEY is "
        "the key, for which silences and tests of receivers need the scope operate, tests of rules "
        "admin. Of rules, a test says what they would have done in the last 14 days. import prints "
        "the objectives of an OpenSLO or Sloth file as definitions and rules; it asks no clew.",
    ),
    Command(
        "findings",
        "say what is slow every day and what to do, through a running clew's API",
        _findings,
        (
            flag("action", nargs="?", choices=("list", "state"), default="list"),
            flag("target", nargs="*", metavar="TARGET", help="state: the finding's id, its state"),
            flag("--service", metavar="NAME", help="only findings of this service"),
            flag("--transaction", metavar="ID", help="only findings of this transaction"),
            flag("--rule", metavar="NAME", help="only findings of this rule (docs/findings.md)"),
            flag("--state", metavar="STATE", help="only findings in this state, such as ignored"),
            flag("--json", action="store_true", help="print a JSON document"),
            flag("--reason", metavar="TEXT", help="state: why"),
        ),
        settings=(DATA, API),
        usage="clew findings [list] [--service NAME] [--transaction ID] [--rule NAME]\n"
        "                     [--state STATE] [--json]\n"
        "       clew findings state ID open|reviewed|ignored|resolved [--reason TEXT]",
        description="--api (host:port or URL) or --data name the running clew; CLEW_API_KEY is "
        "the key, which needs the scope operate to change a state.",
    ),
    Command(
        "diagnose",
        "say why a transaction became slow or fails, through a running clew's API",
        _diagnose,
        (
            flag("transaction", nargs="?", default="", metavar="TRANSACTION", help="name or id"),
            flag("--service", metavar="NAME", help="traces that meet this service"),
            flag("--operation", metavar="NAME", help="traces that meet this operation"),
            flag("--alert", metavar="ID", help="what this alert is about, since it began"),
            flag("--environment", metavar="NAME", help="traces of this environment"),
            flag(
                "--start", metavar="TIME", help="start of the window: 15m (before now), or a time"
            ),
            flag("--end", metavar="TIME", help="end of the window (default now)"),
            flag("--baseline-start", metavar="TIME", help="start of what it is compared with"),
            flag("--baseline-end", metavar="TIME", help="end of what it is compared with"),
            flag("--json", action="store_true", help="print a JSON document"),
        ),
        settings=(DATA, API),
        description="--api (host:port or URL) or --data name the running clew; CLEW_API_KEY is the "
        "key, with the scope read. Without --start the window begins where it last became worse.",
    ),
    Command(
        "key",
        "make an API key",
        _key,
        (
            flag("name", metavar="NAME", help="whose key it is"),
            flag(
                "--scope",
                action="append",
                choices=SCOPES,
                help="what it is for; may be given twice (default ingest)",
            ),
        ),
        settings=(API_KEYS,),
        description="Print a new API key, once, and put its hash into the file of keys.",
    ),
    Command("up", "collector, database and API in one process, on the embedded engine", _platform),
    Command(
        "demo",
        "up, and a small shop under automatic instrumentation with a load on it",
        _demo,
        (
            flag("--rate", type=float, default=20.0, help="requests per second (default 20)"),
            flag("--seconds", type=float, help="stop by itself after this long"),
            flag("--fault", default="", help="a large shop, with this fault after three minutes"),
        ),
    ),
    Command("collect", "an OTLP collector that writes to --dsn", _platform),
    Command("serve", "the API over --dsn", _platform),
    Command(
        "migrate",
        "bring the schema up to date",
        _migrate,
        (flag("--dry-run", action="store_true", help="only say what would be run"),),
    ),
    Command(
        "backup",
        "copy the embedded database to a file or directory, while clew up runs or not",
        _backup,
        (
            flag(
                "target",
                type=Path,
                metavar="FILE_OR_DIR",
                help="a new file whose name ends in .tar, or else a new directory",
            ),
        ),
    ),
    Command(
        "restore",
        "make the database of an empty --data directory from a backup",
        _restore,
        (flag("source", type=Path, metavar="FILE_OR_DIR", help="the backup"),),
    ),
    Command(
        "move",
        "copy the embedded database to a ClickHouse server, and compare the two",
        _move,
        (flag("target", metavar="DSN", help="clickhouse://user:password@host:8123/"),),
    ),
    Command(
        "backfill",
        "apply the definitions to what is stored, and bring settled traces up to date",
        _backfill,
        (
            flag("--start", metavar="TIME", help="RFC 3339, or such as -7d"),
            flag("--end", metavar="TIME", help="likewise"),
            flag("--transaction", metavar="ID", dest="only", help="this definition alone"),
        ),
    ),
    Command(
        "replay",
        "send again what the engine refused and the collector set aside",
        _replay,
        (flag("--list", action="store_true", help="only say what there is, and why"),),
    ),
)


def _start(arguments: argparse.Namespace) -> Settings:
    """The settings of a command of the platform, once its packages are there and it logs. Raises
    UsageError."""
    settings = resolve(arguments)
    try:
        import clew.cli.platform  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f"clew {arguments.command} needs the server's packages ({error.name} is missing): "
            "pip install 'clew[server]'"
        ) from error
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    for library in ("uvicorn", "httpx"):
        logging.getLogger(library).setLevel(logging.WARNING)
    for library in ("urllib3", "clickhouse_connect"):  # callers log what became of their statements
        logging.getLogger(library).setLevel(logging.ERROR)
    return settings


def _report(endpoints: dict[str, str]) -> None:
    print("clew is ready", flush=True)
    for name, url in endpoints.items():
        print(f"  {name:<10} {url}", flush=True)
