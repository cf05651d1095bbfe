"""A running clew tells a webhook that a service fails."""

from __future__ import annotations

import json
import time
from pathlib import Path

import httpx
import pytest

from support.processes import Clew
from support.receivers import sink
from support.traffic import ERROR, SECOND, SERVER, Process, Span, spans_request

RULES = """
rules:
  - {{name: payments fail, select: {{service: payments}}, when: error_rate > 5%, over: 1m, severity: page}}
route: [{{match: {{severity: page}}, receiver: oncall}}]
receivers: {{oncall: {{webhook: {{url: "{url}"}}}}}}
"""


def send(clew: Clew, number: int) -> None:
    end = time.time_ns()
    spans = [
        Span(
            f"{number:030x}{index:02x}", f"{index + 1:016x}", "", Process("payments", "1"),
            "POST /charges", SERVER, end - SECOND // 10, end, status=ERROR,
        )
        for index in range(10)
    ]  # fmt: skip
    httpx.post(
        f"{clew.endpoints['otlp_http']}/v1/traces",
        content=spans_request(spans).SerializeToString(),
        headers={"content-type": "application/x-protobuf"},
    ).raise_for_status()


@pytest.mark.slow
def test_a_webhook_is_told_within_90_seconds_of_the_minutes_end(tmp_path: Path) -> None:
    with sink() as target:
        rules = tmp_path / "alerts.yaml"
        rules.write_text(RULES.format(url=target.url))
        flags = ("--alerts", str(rules), "--alert-networks", "127.0.0.0/8")
        clew = Clew(tmp_path / "data", *flags)
        try:
            began = time.time()
            first_minute_ends = began // 60 * 60 + 60
            for number in range(200):
                send(clew, number)
                if target.requests:
                    break
                time.sleep(1)
            assert target.requests, clew.log.read_text()
            # The minute in which clew started may be judged too late to have both of its parts.
            assert time.time() < first_minute_ends + 60 + 90
        finally:
            clew.stop()
        ((head, body),) = target.requests
        document = json.loads(body)
        assert document["status"] == "firing"
        assert document["alerts"][0]["labels"]["service"] == "payments"
        assert document["key"] in head
        assert "failed requests 100 %" in document["title"]
