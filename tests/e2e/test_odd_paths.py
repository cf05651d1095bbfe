"""Spaces, quotes and other characters in every path that a setting or a command takes."""

from __future__ import annotations

import re
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx

from clew.access import add_key, new_key
from support.certificates import make_certificate
from support.processes import CLEW, Clew
from support.traffic import SERVER, Process, Span, spans_request

# What a shell, SQL, a URL, XML or a format string would read as something else than itself.
ODD = 'it\'s "a" <dé日> #1 [x] 50%25 $HOME; -- `b`'
DATA = ODD + " & \\n\\"  # not of the engine's directory
DEFINITIONS = "transactions: [{name: Checkout, match: {service: shop}}]\n"


def test_odd_characters_in_every_path(tmp_path: Path) -> None:
    directory = tmp_path / ODD
    directory.mkdir()
    make_certificate(directory)
    database = ("--dsn", f"chdb://{directory}/db")
    (directory / "shop's.yaml").write_text(DEFINITIONS)
    key, line = new_key("web", ["ingest", "read"])
    add_key(directory / "key's", line)
    clew = Clew(
        directory / DATA,
        *database,
        *("--transactions", str(directory / "shop's.yaml")),
        *("--api-keys", str(directory / "key's")),
        *("--tls-cert", str(directory / "cert.pem"), "--tls-key", str(directory / "key.pem")),
        certificate=directory / "cert.pem",
    )
    try:
        with httpx.Client(
            verify=clew.trust, headers={"authorization": f"Bearer {key}"}, timeout=30
        ) as client:
            client.post(
                f"{clew.endpoints['otlp_http']}/v1/traces",
                content=_one_span(),
                headers={"content-type": "application/x-protobuf"},
            ).raise_for_status()
            api = f"{clew.endpoints['api']}/api/v1"
            answer = client.get(f"{api}/transactions", params={"wait": 10}).json()
            names = {transaction["name"] for transaction in answer["transactions"]}
            assert names == {"Checkout", "shop: GET /"}
            (definition,) = client.get(f"{api}/definitions").json()["transactions"]
            assert definition["name"] == "Checkout"
        backup = directory / "back'up \\ & #2.tar"
        _run("backup", backup, "--data", clew.data, *database)
    finally:
        status = clew.stop()
    assert status == 0
    assert "Traceback" not in clew.log.read_text()
    restored = _run("restore", backup, "--data", directory / "restored")
    rows = re.fullmatch(r"(.*): (\d+) rows\n", restored, re.DOTALL)
    assert rows is not None
    assert rows[1] == f"{directory}/restored/db"
    assert int(rows[2]) >= 1
    assert {path.name for path in tmp_path.iterdir()} == {ODD}


def _run(command: str, *arguments: Any) -> str:
    ran = subprocess.run(
        [*CLEW, command, *map(str, arguments)], capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def _one_span() -> bytes:
    now = time.time_ns()
    span = Span("a" * 32, "b" * 16, "", Process("shop", "shop-1"), "GET /", SERVER, now, now + 1)
    return bytes(spans_request([span]).SerializeToString())
