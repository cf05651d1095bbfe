"""The command `clew`: parses the arguments and runs a command (clew.cli.commands)."""

from __future__ import annotations

import argparse
import os
import sys

from clew.access import KeysError
from clew.cli.commands import COMMANDS
from clew.cli.settings import UsageError, add_flag


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the exit status: 2 for a usage error, which is one line on stderr."""
    parsed = parser().parse_args(arguments)
    (command,) = (command for command in COMMANDS if command.name == parsed.command)
    try:
        return command.run(parsed)
    except (UsageError, KeysError) as error:
        return _fail(str(error))
    except OSError as error:
        if error.filename is None:
            raise
        return _fail(f"{os.fsdecode(error.filename)}: {error.strerror}")
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if not _is_storage_error(error):
            raise
        return _fail(str(error))


def parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="clew",
        description="Follow one business transaction through every service, "
        "with its traces, metrics and logs joined.",
    )
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        subparser = subparsers.add_parser(
            command.name,
            help=command.help,
            description=command.description or command.help,
            usage=command.usage,
        )
        for setting in command.settings:
            add_flag(subparser, setting)
        for flag in command.flags:
            subparser.add_argument(flag.name, **flag.options)
    return parser


def _fail(message: str) -> int:
    print(f"clew: {message}", file=sys.stderr)
    return 2


def _is_storage_error(error: Exception) -> bool:
    """Without the server's packages there is no StorageError."""
    storage = sys.modules.get("clew.storage")
    return storage is not None and isinstance(error, storage.StorageError)
