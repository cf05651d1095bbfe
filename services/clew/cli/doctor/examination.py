"""The examinations as a whole: what is done, in which order, and how it is said."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from clew.cli.client import api_url
from clew.cli.doctor import verdicts
from clew.cli.doctor.connection import (
    Destination,
    clock_verdict,
    endpoint_verdict,
    key_verdict,
    probe,
)
from clew.cli.doctor.service import resolved, run_service
from clew.cli.doctor.service_checks import examine_service
from clew.cli.doctor.store import examine_store
from clew.cli.doctor.verdicts import Line


def of_service(
    command: Sequence[str],
    *,
    endpoint: str | None,
    service_name: str | None,
    seconds: float,
    urls: Sequence[str],
    as_document: bool,
) -> int:
    """Run a command under the agent and print what is wrong; the exit status. Raises UsageError."""
    environ = resolved(os.environ, endpoint, service_name)
    destination = Destination.of_environment(environ)
    response = probe(destination)
    lines = [
        Line("endpoint", endpoint_verdict(response, destination)),
        Line("key", key_verdict(response, destination)),
        Line("clock", clock_verdict(response)),
    ]
    is_taken = 200 <= response.status < 300 and not destination.is_grpc
    run = run_service(command, environ, seconds, destination if is_taken else None, urls)
    return _print([*lines, *examine_service(run)], as_document)


def of_store(flag: str, variable: str, data: Path, *, since: str, as_document: bool) -> int:
    """Print what is wrong with a running clew; the exit status. `flag` and `variable`: the address
    or URL of its API as the flag and CLEW_API have it; without them, that of the clew on `data`."""
    url, is_local = api_url(flag, variable, data)
    return _print(examine_store(url, data if is_local else None, since), as_document)


def _print(lines: Sequence[Line], as_document: bool) -> int:
    print(verdicts.as_json(lines) if as_document else verdicts.as_text(lines))
    return verdicts.exit_status(lines)
