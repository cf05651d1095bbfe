"""Programs under the agent with exporters other than OTLP: stdout and exit status are their own."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from support.capture import free_port, running, under_clew_run

WORK = """
import logging, sys
from clew.agent import counter, span
with span("charge card", token="hunter2"):
    with span("inner"):
        logging.getLogger("shop").warning("charging password=hunter2", extra={"order_id": 7})
counter("orders.placed").add(3, kind="book", api_key="hunter2")
print("hello")
sys.exit(5)
"""

# It forks, counts in both processes, and ends when its stdin does.
SERVICE = """
import os, sys, time
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from clew.agent import counter
counter("orders.placed").add(1, process="parent", api_key="hunter2")
metrics.set_meter_provider(MeterProvider())
metrics.get_meter("own").create_counter("own.things").add(2)
if os.fork() == 0:
    counter("orders.placed").add(1, process="child")
print("ready", flush=True)
while os.getppid() != 1 and not os.path.exists("end"):
    time.sleep(0.05)
"""


def environment(**more: str) -> dict[str, str]:
    ours = ("OTEL_", "CLEW_")
    plain = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
    return plain | {"CLEW_FLUSH_TIMEOUT": "60"} | more


def run(directory: Path, **env: str) -> subprocess.CompletedProcess[str]:
    (directory / "work.py").write_text(WORK)
    command = under_clew_run(
        [sys.executable, "work.py"], endpoint="http://127.0.0.1:9", service_name="shop"
    )
    return subprocess.run(
        command, cwd=directory, env=environment(**env), capture_output=True, text=True, timeout=120
    )


def test_the_console_is_stderr(tmp_path: Path) -> None:
    done = run(tmp_path, CLEW_EXPORTER="console")
    assert (done.returncode, done.stdout) == (5, "hello\n")
    spans = [line.split() for line in done.stderr.splitlines() if " span " in line]
    (trace,) = {words[3] for words in spans}
    assert [words[4] for words in spans] == ["charge", "inner"]
    assert "token=REDACTED" in " ".join(spans[0])
    log = f" log    shop {trace} WARN shop: charging password=REDACTED  order_id=7\n"
    assert log in done.stderr
    assert " orders.placed 3 (+3)  kind=book api_key=REDACTED\n" in done.stderr
    assert "clew: service shop" in done.stderr
    assert ", to stderr, " in done.stderr


def test_statsd_gets_metrics_alone(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(60)
        address = f"127.0.0.1:{receiver.getsockname()[1]}"
        done = run(tmp_path, CLEW_EXPORTER="statsd", CLEW_STATSD=address)
        assert (done.returncode, done.stdout) == (5, "hello\n")
        lines = ""
        while "orders.placed" not in lines:
            lines = receiver.recv(65536).decode()
    assert "orders.placed:3|c|#kind:book,api_key:REDACTED,service:shop" in lines.split("\n")
    assert "hunter2" not in lines


def test_no_exporter_at_all(tmp_path: Path) -> None:
    done = run(tmp_path, CLEW_EXPORTER="none")
    assert (done.returncode, done.stdout) == (5, "hello\n")
    assert ", to nobody, " in done.stderr
    assert done.stderr.count("\n") == 2  # the agent's line, and what the service logs itself


def scraped(address: str) -> dict[str, Any]:
    answer = httpx.get(address, timeout=60)
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "hunter2" not in answer.text
    return {family.name: family for family in text_string_to_metric_families(answer.text)}


@pytest.mark.parametrize("start", ["", "import gevent.monkey; gevent.monkey.patch_all()"])
def test_each_process_can_be_scraped(tmp_path: Path, start: str) -> None:
    (tmp_path / "service.py").write_text(f"{start}\n{SERVICE}")
    command = under_clew_run([sys.executable, "service.py"], endpoint="http://127.0.0.1:9")
    env = environment(CLEW_EXPORTER="prometheus", CLEW_PROMETHEUS=f"127.0.0.1:{free_port()}")
    with running(command, env, tmp_path) as process:
        deadline = time.monotonic() + 60
        addresses: dict[str, str] = {}
        while len(addresses) < 2 or process.output.read_text().count("ready") < 2:
            text = process.output.read_text()
            assert process.popen.poll() is None, text
            assert time.monotonic() < deadline, text
            time.sleep(0.05)
            addresses = dict(re.findall(r"metrics of process (\d+) at (\S+)", text))
        answers = {pid: scraped(address) for pid, address in addresses.items()}
        (child,) = addresses.keys() - {str(min(map(int, addresses)))}
        for pid, answer in answers.items():
            (info,) = answer["target_info"].samples
            orders = {
                sample.labels["process"]: sample for sample in answer["orders_placed"].samples
            }
            assert info.labels["service_name"]
            assert orders["parent"].labels["api_key"] == "REDACTED"
            assert ("child" in orders) == (pid == child)
            assert answer["own_things"].samples[0].value == 2
        (tmp_path / "end").touch()
        assert process.popen.wait(60) == 0
