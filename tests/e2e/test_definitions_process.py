"""Definitions in a running clew: sent to the API, applied to stored traces, and from a file."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from support import stored
from support.processes import CLEW, Clew
from support.traffic import SERVER, Process, Span, spans_request

SHOP = b"transactions: [{name: Checkout, match: {service: shop}, key: order.id}]"


COUNT = "SELECT count() AS n, sum(length(TraceIds)) AS t FROM otel.clew_occurrences FINAL"


def _ask(method: str, url: str, **request: Any) -> httpx.Response:
    return httpx.request(method, url, timeout=60, **request)


def _send(clew: Clew) -> None:
    began = time.time_ns() - 60_000_000_000
    spans = [
        Span(
            f"{number:032x}",
            f"{number:016x}",
            "",
            Process("shop", "1"),
            "POST /checkout",
            SERVER,
            began,
            began + 1_000_000,
            attributes={"order.id": f"o-{number // 2}"},
        )
        for number in range(2, 12)
    ]
    response = _ask(
        "POST",
        f"{clew.endpoints['otlp_http']}/v1/traces",
        content=spans_request(spans).SerializeToString(),
        headers={"content-type": "application/x-protobuf"},
    )
    assert response.is_success
    stored.wait_until_loaded(clew.data)


def _backfill(data: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*CLEW, "backfill", "--data", str(data), *flags], capture_output=True, text=True
    )


def _check_rules(clew: Clew) -> None:
    """Of definitions that take nothing from requests, agents need no rule."""
    url = f"{clew.endpoints['otlp_http']}/v1/clew/rules"
    rules = _ask("GET", url)
    assert rules.json() == {"version": 1, "rules": []}
    known = {"if-none-match": rules.headers["etag"]}
    assert _ask("GET", url, headers=known).status_code == 304


def test_the_running_clew_backfills_stored_traces(clew: Clew) -> None:
    _send(clew)
    api = f"{clew.endpoints['api']}/api/v1/definitions"
    put = _ask("PUT", api, content=SHOP, headers={"content-type": "application/yaml"})
    assert put.status_code == 200
    assert _ask("GET", api).headers["etag"] == put.headers["etag"]
    _check_rules(clew)

    done = _backfill(clew.data)
    assert done.returncode == 0, done.stderr
    assert "10 of 10 traces" in done.stderr
    clew.stop()
    assert stored.ask(clew, COUNT) == [[{"n": 5, "t": 10}]]


@pytest.mark.slow
def test_the_command_backfills_stored_traces_when_no_clew_runs(clew: Clew) -> None:
    _send(clew)
    clew.stop()
    file = clew.data.parent / "shop.yaml"
    file.write_bytes(SHOP)
    done = _backfill(clew.data, "--transactions", str(file), "--start=-1h")
    assert done.returncode == 0, done.stderr
    assert stored.ask(clew, COUNT) == [[{"n": 5, "t": 10}]]
    wrong = _backfill(clew.data, "--transaction", "other")
    assert wrong.returncode == 2
    assert "there is no definition 'other'; there are: checkout" in wrong.stderr
    assert "write an RFC 3339 time" in _backfill(clew.data, "--start", "x").stderr


@pytest.mark.slow
def test_a_file_with_errors_stops_clew_at_the_start_and_is_ignored_later(tmp_path: Path) -> None:
    file = tmp_path / "shop.yaml"
    file.write_bytes(SHOP.replace(b"name", b"\nnam"))
    wrong = subprocess.run(
        [*CLEW, "up", "--data", str(tmp_path / "data"), "--transactions", str(file)],
        capture_output=True,
        text=True,
    )
    assert wrong.returncode == 2
    assert f"\n{file}:2: transactions[0].nam: unknown field; did you mean name?" in wrong.stderr

    file.write_bytes(SHOP)
    clew = Clew(tmp_path / "data", "--transactions", str(file))
    try:
        api = f"{clew.endpoints['api']}/api/v1/definitions"
        assert _ask("GET", api).json()["origin"] == str(file)
        put = _ask("PUT", api, content=SHOP, headers={"content-type": "application/yaml"})
        assert put.status_code == 409
        file.write_bytes(SHOP.replace(b"name", b"\nnam"))
        deadline = time.monotonic() + 30
        while "did you mean name?" not in clew.log.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        file.write_bytes(SHOP.replace(b"Checkout", b"Buy"))
        while _ask("GET", api).json()["transactions"][0]["id"] != "buy":
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        clew.stop()
