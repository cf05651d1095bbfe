"""`clew doctor` without a command, against an API that answers as it is told."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from clew.cli.client import api_url
from clew.cli.doctor import store as doctor_store
from clew.cli.doctor.store import examine_store
from clew.cli.doctor.verdicts import Verdict
from clew.cli.main import main
from clew.collector import deadletter
from support.capture import answering, free_port

CHECKS = [{"check": "orphans", "status": "warn", "text": "many", "mend": "mend it", "services": []}]


@contextmanager
def _api(answers: Mapping[str, tuple[int, Any]]) -> Iterator[str]:
    """An API with these answers by path; it takes the key `right`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, document = answers.get(self.path.partition("?")[0], (404, {}))
            key = self.headers.get("authorization", "Bearer right")
            body = json.dumps(document).encode()
            self.send_response(status if key == "Bearer right" else 401)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with answering(Handler) as url:
        yield url


def _verdicts(url: str, data: Path | None = None, key: str = "") -> dict[str, Verdict]:
    return dict(examine_store(url, data, "-1h", {"CLEW_API_KEY": key}))


RUNNING = {"/api/v1/doctor": (200, {"checks": CHECKS}), "/readyz": (200, "ready")}


def test_what_the_api_says_is_said(tmp_path: Path) -> None:
    with _api(RUNNING) as url:
        verdicts = _verdicts(url, tmp_path, "right")
    assert list(verdicts) == ["api", "key", "clock", "ready", "orphans", "disk", "dead letters"]
    assert verdicts["orphans"] == Verdict("warn", "many", "mend it")
    assert {verdicts[name].status for name in ("api", "key", "clock", "ready")} == {"ok"}


def test_a_clew_that_is_not_ready_says_why() -> None:
    unready = {"/readyz": (503, {"detail": "its database does not answer"})}
    with _api({**RUNNING, **unready}) as url:
        verdict = _verdicts(url)["ready"]
    assert verdict.status == "fail"
    assert verdict.text == "its database does not answer"
    assert verdict.mend


def test_a_key_that_is_not_known_or_may_not_read_is_said() -> None:
    with _api(RUNNING) as url:
        assert "not known" in _verdicts(url, key="wrong")["key"].text
    with _api({"/api/v1/doctor": (401, {})}) as url:
        assert "none is set" in _verdicts(url)["key"].text
    with _api({"/api/v1/doctor": (403, {})}) as url:
        assert "--scope read" in _verdicts(url, key="right")["key"].mend


def test_an_address_without_such_an_api_is_said() -> None:
    verdict = _verdicts(f"http://127.0.0.1:{free_port()}")["api"]
    assert (verdict.status, verdict.mend[:14]) == ("fail", "start clew up,")
    with _api({}) as url:
        assert "4319" in _verdicts(url)["api"].mend


def test_dead_letters_and_a_full_disk_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / deadletter.FOLDER / "traces"
    folder.mkdir(parents=True)
    (folder / "1.binpb").touch()
    (folder / "1.json").touch()

    class Usage:
        free, total = 5 << 30, 100 << 30

    monkeypatch.setattr(doctor_store.shutil, "disk_usage", lambda _: Usage)
    with _api(RUNNING) as url:
        verdicts = _verdicts(url, tmp_path)
    assert verdicts["dead letters"].status == "warn"
    assert verdicts["dead letters"].text.startswith("1 requests")
    assert verdicts["disk"].status == "warn"
    assert "(5 %)" in verdicts["disk"].text


@pytest.mark.parametrize(
    ("flag", "variable", "endpoints", "url"),
    [
        ("", "", None, "http://127.0.0.1:4319"),
        ("", "", {"api": "https://127.0.0.1:5000"}, "https://127.0.0.1:5000"),
        ("clew.example:80", "", {"api": "http://a"}, "http://clew.example:80"),
        ("https://clew.example/", "", {"api": "http://a"}, "https://clew.example"),
        ("", "https://clew.example", {"api": "http://a"}, "https://clew.example"),
        ("", "127.0.0.1:0", {"api": "http://127.0.0.1:5000"}, "http://127.0.0.1:5000"),
        ("", "127.0.0.1:0", None, "http://127.0.0.1:4319"),
        ("", "127.0.0.1:4000", None, "http://127.0.0.1:4000"),
    ],
)
def test_the_api_is_found(
    tmp_path: Path, flag: str, variable: str, endpoints: dict[str, str] | None, url: str
) -> None:
    if endpoints is not None:
        (tmp_path / "endpoints.json").write_text(json.dumps(endpoints))
    is_local = bool(endpoints) and url == (endpoints or {})["api"]
    assert api_url(flag, variable, tmp_path) == (url, is_local)


def test_the_command_prints_it_and_exits_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with _api(RUNNING) as url:
        assert main(["doctor", "--api", url]) == 1
        text = capsys.readouterr().out
        assert "WARN  orphans          many\n" in text
        assert "mend: mend it\n" in text
        assert main(["doctor", "--api", url, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["checks"][4]["check"] == "orphans"
