"""`clew replay`: sends again the requests that the engine refused and the collector set aside."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote

import httpx

from clew.cli.settings import UsageError
from clew.collector import deadletter
from clew.collector.deadletter import DeadLetter

TIMEOUT = 60.0  # seconds


def show(data: Path) -> None:
    """Print what has been set aside in a data directory, and why."""
    for letter in deadletter.read_letters(data / deadletter.FOLDER):
        print(f"{letter.path}  {letter.items} {letter.signal}  {letter.reason.splitlines()[0]}")


def replay(data: Path, environ: Mapping[str, str] = os.environ) -> int:
    """Send every request that was set aside to the clew that runs on the data directory.

    A request that it takes is removed from the folder (and set aside again if the engine refuses it
    again). Returns the number of requests that it did not take. Keys and certificates are those of
    an OTLP exporter: OTEL_EXPORTER_OTLP_HEADERS and OTEL_EXPORTER_OTLP_CERTIFICATE. Raises
    UsageError.
    """
    url = _otlp_http(data)
    headers = {"content-type": "application/x-protobuf", **_headers(environ)}
    refused = 0
    with httpx.Client(
        headers=headers,
        timeout=TIMEOUT,
        verify=environ.get("OTEL_EXPORTER_OTLP_CERTIFICATE", True),
        trust_env=False,
    ) as client:
        for letter in deadletter.read_letters(data / deadletter.FOLDER):
            problem = _send(client, url, letter)
            if problem is None:
                letter.remove()
            else:
                refused += 1
            print(f"{letter.path.name}  {letter.items} {letter.signal}  {problem or 'taken'}")
    return refused


def _otlp_http(data: Path) -> str:
    try:
        endpoints = json.loads((data / "endpoints.json").read_text())
    except FileNotFoundError as error:
        raise UsageError(f"no clew runs on {data}: start it first, or name its --data") from error
    return str(endpoints["otlp_http"])


def _headers(environ: Mapping[str, str]) -> dict[str, str]:
    pairs = environ.get("OTEL_EXPORTER_OTLP_HEADERS", "").split(",")
    return {name.strip(): unquote(value.strip()) for name, _, value in
            (pair.partition("=") for pair in pairs) if name.strip()}  # fmt: skip


def _send(client: httpx.Client, url: str, letter: DeadLetter) -> str | None:
    """None when it was taken; otherwise why not."""
    try:
        answer = client.post(f"{url}/v1/{letter.signal}", content=letter.body())
    except httpx.HTTPError as error:
        return f"not sent: {error}"
    return None if answer.is_success else f"refused with {answer.status_code}"
