"""`clew alerts` against an API that runs."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from clew.analysis.alerts.receivers import Receiver
from clew.analysis.alerts.records import AlertRecord, AlertRecords
from clew.analysis.alerts.rulebook import Rulebook
from clew.analysis.alerts.states import AlertState, Known, State
from clew.analysis.alerts.verdicts import Verdict
from clew.analysis.watching.coverage import Coverage, Unwatched
from clew.api import create_app
from clew.cli.main import main
from clew.cli.servers import Server
from clew.storage import Reader, Store
from clew.storage.statements import Statements
from support.keys import authenticator

NOW = time.time()
FILE = """
receivers:
  team: {webhook: {url: "https://team.example/"}}
  night shift: {webhook: {url: "https://night.example/"}}
"""


def record(rule: str, state: State, severity: str, headline: str, service: str) -> AlertRecord:
    verdict = Verdict(rule, {"service": service}, NOW, True, headline=headline, requests=40)
    return AlertRecord(verdict, severity, AlertState(state, NOW - 130, 1, NOW - 130))


CAUSE = record("slow", State.FIRING, "page", "payments: p95 900 ms, limit 500 ms", "payments")
EFFECT = AlertRecord(
    Verdict("slow", {"service": "shop"}, NOW, True, headline="shop: p95 2 s"),
    "page", AlertState(State.FIRING, NOW - 60, 1, NOW - 60), because_of=CAUSE.id,
)  # fmt: skip
SILENT = AlertRecord(
    Verdict("odd", {"service": "x"}, NOW, True, headline="\x1b[31mred\x07"),
    "ticket", AlertState(State.PENDING, NOW - 7300), Known.NO_DATA,
)  # fmt: skip
OVER = record("gone", State.RESOLVED, "ticket", "mail: nothing for 2h", "mail")


def send_test(receiver: Receiver, name: str, author: str) -> str:
    return "" if name == "night shift" else "it is away"


@pytest.fixture(scope="module")
def url(emptied: Callable[[], Store], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    store = emptied()
    AlertRecords(Statements(store)).put([CAUSE, EFFECT, SILENT, OVER], 1)
    Coverage(2000, 2000, 0, 4, [Unwatched("service", {"service": "late"}, 3)]).store(
        Statements(store), 1
    )
    file = tmp_path_factory.mktemp("alerts") / "alerts.yaml"
    file.write_text(FILE)
    reader = Reader(store)
    app = create_app(
        reader,
        reader.answers,
        authenticator=authenticator(ann={"read", "operate"}, reader={"read"}, admin={"admin"}),
        rulebook=Rulebook(Statements(store), store.shared, file),
        send_test=send_test,
    )
    listening = socket.create_server(("127.0.0.1", 0))
    server = Server(app, None, 1)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([listening])))
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    server.stop()
    thread.join()


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLEW_API_KEY", "ann")


def test_what_is_wrong_is_listed_by_its_cause(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["alerts", "--api", url]) == 0
    shown = re.sub(r"firing for \d+ min", "firing for 2 min", capsys.readouterr().out)
    assert shown.splitlines() == [
        "✕ payments: p95 900 ms, limit 500 ms",
        "    firing for 2 min · page · rule slow · service payments",
        f"    why: clew diagnose --alert {CAUSE.id}",
        "    └ shop: p95 2 s (firing)",
        "▲ �[31mred�",
        "    pending for 2 h · ticket · rule odd · service x · no data",
        f"    why: clew diagnose --alert {SILENT.id}",
        "4 series are not watched: the limit is 2000 (--watch-limit): late …",
    ]
    assert main(["alerts", "--api", url, "--all"]) == 0
    assert "✓ mail: nothing for 2h" in capsys.readouterr().out
    assert main(["alerts", "list", "--api", url, "--json"]) == 0
    alerts = json.loads(capsys.readouterr().out)["alerts"]
    assert {alert["id"] for alert in alerts} == {CAUSE.id, EFFECT.id, SILENT.id}


def test_a_silence_is_made(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["alerts", "silence", "service=pay*", "team=core", "--api", url]
    assert main([*command, "--for", "2h", "--reason", "we move it"]) == 0
    assert "silent until" in capsys.readouterr().out
    assert main(["alerts", "--api", url]) == 0
    assert "· silent" not in capsys.readouterr().out  # no alert has the label team
    assert (
        main(["alerts", "silence", "service=pay*", "--api", url, "--for", "2h", "--reason", "x"])
        == 0
    )
    assert main(["alerts", "--api", url]) == 0
    assert "service payments · silent" in capsys.readouterr().out


def test_a_receiver_is_tested(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["alerts", "test", "night shift", "--api", url]) == 0
    assert main(["alerts", "test", "team", "--api", url]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "night shift (webhook): delivered",
        "team (webhook): it is away",
    ]


def test_rules_are_tested(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLEW_API_KEY", "admin")
    file = tmp_path / "alerts.yaml"
    file.write_text(FILE + "rules: [{name: shop slow, select: {service: shop}, when: p95 > 1s}]")
    assert main(["alerts", "test", str(file), "--api", url]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "shop slow: cannot say: no stored series is one that the rule names"
    ]
    file.write_text("rules: [{name: shop slow}]")
    assert main(["alerts", "test", str(file), "--api", url]) == 2
    assert f"{file}:1: rules[0]: a rule has one of" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "mention"),
    [
        (["silence", "--for", "2h", "--reason", "x"], "say which alerts"),
        (["silence", "service=a", "--for", "2h"], "how long and why"),
        (["silence", "payments", "--for", "2h", "--reason", "x"], "label=pattern"),
        (["silence", "service=a", "--for", "2", "--reason", "x"], "such as 90s"),
        (["test"], "name one receiver"),
        (["test", "nobody"], "'nobody' is not a receiver: night shift, team"),
        (["list", "more"], "takes nothing more"),
    ],
)
def test_a_mistake_is_one_line(
    url: str, capsys: pytest.CaptureFixture[str], arguments: list[str], mention: str
) -> None:
    assert main(["alerts", *arguments, "--api", url]) == 2
    assert mention in capsys.readouterr().err


def test_keys_and_addresses_that_are_wrong(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLEW_API_KEY", "reader")
    assert main(["alerts", "test", "team", "--api", url]) == 2
    assert "scope `operate`; the variable CLEW_API_KEY" in capsys.readouterr().err
    (tmp_path / "endpoints.json").write_text('{"api": "http://127.0.0.1:1"}')
    assert main(["alerts", "--data", str(tmp_path)]) == 2
    assert "start clew up" in capsys.readouterr().err
