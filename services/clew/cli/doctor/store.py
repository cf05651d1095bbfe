"""A running clew: what its API says is wrong, and what its data directory on this machine shows."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from clew.cli.client import detail_of
from clew.cli.doctor.connection import Response, clock_verdict, request
from clew.cli.doctor.verdicts import Line, Verdict

_WITHIN = 40.0  # seconds: the API takes 20 at most
_DEAD_LETTERS = "dead-letter/*/*.binpb"  # as clew.collector.deadletter, which may not be installed
_LEAST_FREE = 0.1  # of a disk; clew keeps 5 % free


def examine_store(
    url: str, data: Path | None, since: str, environ: Mapping[str, str] = os.environ
) -> list[Line]:
    """The verdicts on the clew whose API is at `url`; `data`: its directory, if it is here."""
    key = environ.get("CLEW_API_KEY", "")
    headers = {"authorization": f"Bearer {key}"} if key else {}
    certificates = environ.get("OTEL_EXPORTER_OTLP_CERTIFICATE") or None
    path = f"{url}/api/v1/doctor?start={quote(since)}"
    response = request("GET", path, None, headers, certificates, _WITHIN)
    ready = request("GET", f"{url}/readyz", None, {}, certificates)
    lines = [
        Line("api", _api_verdict(url, response)),
        Line("key", _key_verdict(response, bool(key))),
        Line("clock", clock_verdict(response)),
        Line("ready", _ready_verdict(ready)),
    ]
    if response.status == 200:
        lines += _stored_lines(response)
    return [*lines, *(_local_lines(data) if data is not None else ())]


def _api_verdict(url: str, response: Response) -> Verdict:
    if not response.status:
        mend = "start clew up, or name its API: --api URL, or its directory: --data DIR"
        return Verdict("fail", f"{url}: {response.reason}", mend)
    if response.status in (200, 401, 403):
        return Verdict("ok", f"{url} answers ({1000 * response.seconds:.0f} ms)")
    if response.status == 404:
        mend = "take the address of the API (port 4319), of a clew of this version"
        return Verdict("fail", f"{url} answers 404: it has no /api/v1/doctor", mend)
    return Verdict("fail", f"{url} answers {response.status} {detail_of(response)}", "see its log")


def _key_verdict(response: Response, has_key: bool) -> Verdict:
    if response.status == 401:
        text = "the key is not known there" if has_key else "it wants a key, and none is set"
        return Verdict("fail", text, "set CLEW_API_KEY to a key that `clew key` made there")
    if response.status == 403:
        mend = "make one: clew key NAME --scope read, and set CLEW_API_KEY"
        return Verdict("fail", "the key has not the scope `read`", mend)
    if response.status != 200:
        return Verdict("none", "not checked")
    return Verdict("ok", "the key is accepted" if has_key else "none is needed")


def _ready_verdict(response: Response) -> Verdict:
    if response.status == 200:
        return Verdict("ok", "ingest and queries work")
    if not response.status:
        return Verdict("none", "not checked")
    mend = "look at the log of clew; a full disk and a database that does not answer are usual"
    return Verdict("fail", detail_of(response), mend)


def _stored_lines(response: Response) -> Iterator[Line]:
    checks: list[dict[str, Any]] = json.loads(response.body)["checks"]
    for check in checks:
        verdict = Verdict(check["status"], str(check["text"]), str(check["mend"]))
        yield Line(str(check["check"]), verdict)


def _local_lines(data: Path) -> Iterator[Line]:
    try:
        usage = shutil.disk_usage(data)
        letters = list(data.glob(_DEAD_LETTERS))
    except OSError as error:
        yield Line("data", Verdict("fail", f"{data}: {error.strerror}", "name it: --data DIR"))
        return
    share = usage.free / usage.total
    text = f"{usage.free >> 30} GiB of {usage.total >> 30} are free ({100 * share:.0f} %)"
    if share < _LEAST_FREE:
        mend = "make room, keep less (--retention, --database-limit), or move --data"
        yield Line("disk", Verdict("warn", text, mend))
    else:
        yield Line("disk", Verdict("ok", text))
    if letters:
        text = f"{len(letters)} requests were set aside, as the engine refused them"
        yield Line("dead letters", Verdict("warn", text, "clew replay --list, then clew replay"))
    else:
        yield Line("dead letters", Verdict("ok", "none"))
