"""make grafana: into a directory, and into a Grafana that runs (here, one that takes down what it is told)."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

import build
import provision

SET = {"CLEW_CLICKHOUSE_HOST": "db.example", "CLEW_CLICKHOUSE_PASSWORD": 'it\'s $HOME: "x"'}


class FakeGrafana(ThreadingHTTPServer):
    """Knows the paths that are used, and which uids are there."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.there: set[str] = set()
        self.told: list[tuple[str, str, Any]] = []
        self.refuses = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: FakeGrafana

    def do_GET(self) -> None:
        uid = self.path.rsplit("/", 1)[-1]
        self.answer(200 if uid in self.server.there or uid == "settings" else 404)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        assert self.headers["authorization"] == "Bearer token"
        self.server.told.append((self.command, self.path, body))
        uid = (body.get("dashboard") or body)["uid"]
        known = uid in self.server.there and self.path == "/api/folders"
        self.server.there.add(uid)
        self.answer(self.server.refuses or (412 if known else 200))

    do_PUT = do_POST

    def answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def grafana() -> Iterator[FakeGrafana]:
    with FakeGrafana() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_running_grafana_gets_all_of_it_and_again(grafana: FakeGrafana) -> None:
    environment = {"GRAFANA_URL": grafana.url, "GRAFANA_TOKEN": "token", **SET}
    assert "/dashboards/f/clew" in provision.main(environment)
    methods = [(method, path) for method, path, _ in grafana.told]
    assert methods[:3] == [("POST", "/api/datasources")] * 2 + [("POST", "/api/folders")]
    clickhouse, jaeger = (body for _, path, body in grafana.told if path == "/api/datasources")
    assert clickhouse["jsonData"]["host"] == "db.example"
    assert clickhouse["secureJsonData"]["password"] == SET["CLEW_CLICKHOUSE_PASSWORD"]
    assert jaeger["url"] == "http://127.0.0.1:4319"
    boards = [body for _, path, body in grafana.told if path == "/api/dashboards/db"]
    assert [body["dashboard"]["uid"] for body in boards] == [
        name.removesuffix(".json") for name, _ in build.documents()
    ]
    assert {body["folderUid"] for body in boards} == {"clew"}
    grafana.told.clear()
    provision.main(environment)
    assert [method for method, *_ in grafana.told[:3]] == ["PUT", "PUT", "POST"]


def test_what_grafana_refuses_is_said(grafana: FakeGrafana) -> None:
    grafana.refuses = 403
    with pytest.raises(SystemExit, match="403"):
        provision.main({"GRAFANA_URL": grafana.url, "GRAFANA_TOKEN": "token"})
    with pytest.raises(SystemExit, match="Grafana at"):
        provision.main({"GRAFANA_URL": "http://127.0.0.1:1"})


def test_a_directory_gets_files_that_say_the_same_once_grafana_has_read_them(
    tmp_path: Path,
) -> None:
    provision.main({"GRAFANA_PROVISIONING": str(tmp_path / "asked"), **SET}, tmp_path / "none")
    (tmp_path / "usual").mkdir()
    provision.main(SET, tmp_path / "usual")
    for directory in ("asked", "usual"):
        sources = yaml.safe_load((tmp_path / directory / provision.SOURCES).read_text())
        clickhouse, jaeger = sources["datasources"]
        assert clickhouse["jsonData"] | {"logs": None, "traces": None} == {
            "host": "db.example", "port": "8123", "protocol": "http", "username": "default",
            "defaultDatabase": "otel", "logs": None, "traces": None,
        }  # fmt: skip
        password = clickhouse["secureJsonData"]["password"]
        assert password.replace("$$", "$") == SET["CLEW_CLICKHOUSE_PASSWORD"]
        assert jaeger["uid"] == "clew-jaeger"
        folders = yaml.safe_load((tmp_path / directory / provision.FOLDERS).read_text())
        path = Path(folders["providers"][0]["options"]["path"])
        assert {file.name for file in path.iterdir()} == dict(build.documents()).keys()


def test_without_a_grafana_it_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="plugins install grafana-clickhouse-datasource"):
        provision.main({}, tmp_path / "none")
