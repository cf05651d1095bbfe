"""Definitions in force: over the API, from a file that changes, and on every node."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from clew.analysis import DocumentError, Registry
from clew.analysis.documents import files
from clew.analysis.transactions import registry
from clew.analysis.transactions.definitions import json_schema, read
from clew.api import create_app
from clew.storage import Reader, Store
from support.api_client import ApiClient
from support.keys import authenticator

PATH = "/api/v1/definitions"
YAML = "application/yaml"
ONE = b"transactions:\n- name: Checkout\n  match:\n    service: storefront\n"
TWO = ONE + b"- name: Pay\n  match:\n    service: payments\n  slo:\n    objective: 0.9\n"


@pytest.fixture
def api(store: Store) -> ApiClient:
    return ApiClient(store)


def _put(api: ApiClient, body: bytes, content_type: str = YAML, **headers: str) -> httpx.Response:
    return api.send("PUT", PATH, content=body, headers={"content-type": content_type} | headers)


def _yaml(api: ApiClient) -> bytes:
    response = api.send("GET", PATH, headers={"accept": YAML})
    assert response.headers["content-type"].startswith(YAML)
    return response.content


def _with_file(store: Store, path: Path) -> tuple[ApiClient, Registry]:
    api, from_file = ApiClient(store), Registry(store, path)
    reader = Reader(store)
    api.app = create_app(reader, reader.answers, registry=from_file)
    return api, from_file


def test_without_definitions(api: ApiClient) -> None:
    answer = api.get(PATH)
    assert answer == {"revision": "0", "origin": "api", "transactions": [], "truncated": False}
    assert read(_yaml(api)) == ()


def test_get_returns_what_was_put_in_either_form(api: ApiClient) -> None:
    put = _put(api, TWO)
    assert put.status_code == 200, put.text
    got = api.get(PATH)
    assert got == put.json() | {"truncated": False}
    assert [definition["id"] for definition in got["transactions"]] == ["checkout", "pay"]
    assert got["transactions"][1]["slo"] == {"objective": 0.9}
    schema, revision, text = _yaml(api).split(b"\n", 2)
    assert schema == b"# yaml-language-server: $schema=http://clew/api/v1/definitions/schema"
    assert revision == f"# revision {got['revision']}, from api".encode()
    assert text == TWO
    assert api.send("GET", PATH, params={"format": "yaml"}).content == _yaml(api)
    for body, content_type in (
        (_yaml(api), YAML),
        (api.response(PATH).content, "application/json"),
    ):
        again = _put(api, body, content_type)
        assert again.json()["revision"] == got["revision"]
    assert _put(api, b"transactions: []").json()["transactions"] == []
    assert api.get(PATH)["transactions"] == []
    assert api.get(PATH, explain="true")["sql"]


def test_editors_get_the_schema(api: ApiClient) -> None:
    response = api.response(f"{PATH}/schema")
    assert response.headers["content-type"] == "application/schema+json"
    assert response.json() == json_schema()


ACCEPTED = {
    "": "json",
    "*/*": "json",
    "text/html": "json",
    "application/yaml": "yaml",
    "text/html, text/yaml;q=0.3": "yaml",
    "application/json, application/yaml": "json",
    "application/json;q=0.2, application/yaml;q=0.5": "yaml",
    "application/yaml;q=x;;,,": "json",
    "application/yaml;q=0": "json",
}


def test_accept_decides_the_form(api: ApiClient) -> None:
    for accept, form in ACCEPTED.items():
        response = api.send("GET", PATH, headers={"accept": accept})
        assert form in response.headers["content-type"], accept


def test_an_update_of_another_revision_is_refused(api: ApiClient) -> None:
    before = api.response(PATH).headers["etag"]
    first = _put(api, ONE, **{"if-match": before})
    assert first.status_code == 200
    assert first.headers["etag"] == api.response(PATH).headers["etag"] != before
    for stale in (before, f'{before}, W/"x"', "", "nonsense"):
        lost = _put(api, TWO, **{"if-match": stale})
        assert lost.status_code == 412
        assert lost.headers["content-type"] == "application/problem+json"
    assert len(api.get(PATH)["transactions"]) == 1
    for good in (f"{before}, {first.headers['etag']}", "*"):
        assert _put(api, TWO, **{"if-match": good}).status_code == 200


CONTENT_TYPES = {
    "application/json": 422,
    "application/json; charset=utf-8": 422,
    'TEXT/YAML; Charset="UTF-8"': 200,
    "text/x-yaml": 200,
    "application/json; charset=latin-1": 415,
    "application/xml": 415,
    "": 415,
    "application/x-www-form-urlencoded": 415,
}


def test_the_content_type_decides_how_a_body_is_read(api: ApiClient) -> None:
    for content_type, status in CONTENT_TYPES.items():
        assert _put(api, ONE, content_type).status_code == status, content_type


def test_every_problem_of_a_body_has_its_line_and_field(api: ApiClient) -> None:
    _put(api, ONE)
    text = TWO.replace(b"0.9", b"9").replace(b"service: p", b"servis: p")
    problem = _put(api, text)
    assert problem.status_code == 422
    assert problem.headers["content-type"] == "application/problem+json"
    assert [(error["line"], error["field"]) for error in problem.json()["errors"]] == [
        (7, "transactions[1].match.servis"),
        (9, "transactions[1].slo.objective"),
    ]
    assert "did you mean service?" in problem.json()["detail"]
    problem = _put(api, b'{"transactions": [{}]}', "application/json")
    assert {error["line"] for error in problem.json()["errors"]} == {None}
    assert len(api.get(PATH)["transactions"]) == 1
    assert _put(api, b"#" * 2_000_000).status_code == 413


def test_definitions_outlive_the_process_and_other_nodes_see_them(
    store: Store, api: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    other_registry = Registry(store)
    _put(api, ONE)
    assert [definition.id for definition in Registry(store).definitions()] == ["checkout"]
    assert (
        other_registry.definitions() == ()
    )  # embedded: nobody else writes, so it is not read again
    monkeypatch.setattr(store, "shared", True)
    monkeypatch.setattr(registry, "REFRESH_AFTER", 0.0)
    assert [definition.id for definition in other_registry.definitions()] == ["checkout"]


def test_a_stored_definition_that_cannot_be_read_is_left_out(
    store: Store, api: ApiClient, caplog: pytest.LogCaptureFixture
) -> None:
    _put(api, TWO)
    with store.client() as client:
        client.command(
            "ALTER TABLE otel.clew_definitions UPDATE Definition = '{\"nam\": 1}' WHERE Id = 'pay' SETTINGS mutations_sync = 2"
        )
    assert [definition.id for definition in Registry(store).definitions()] == ["checkout"]
    assert "stored definition pay" in caplog.text


def test_a_file_decides_and_is_read_again_when_it_changes(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "shop.yaml"
    path.write_bytes(ONE)
    api, from_file = _with_file(store, path)
    first = api.get(PATH)
    assert first["origin"] == str(path)
    refused = _put(api, TWO)
    assert refused.status_code == 409
    assert str(path) in refused.json()["detail"]

    path.write_bytes(TWO)
    from_file.reload_if_changed()
    assert len(from_file.definitions()) == len(api.get(PATH)["transactions"]) == 2

    path.write_bytes(TWO.replace(b"name", b"nam"))
    from_file.reload_if_changed()
    assert f"{path}:2: transactions[0].nam: unknown field; did you mean name?" in caplog.text
    path.unlink()
    from_file.reload_if_changed()
    assert len(from_file.definitions()) == 2

    path.write_bytes(ONE)
    from_file.reload_if_changed()
    revision = api.get(PATH)["revision"]
    _, again = _with_file(store, path)
    assert str(again.current().number) == revision  # the same definitions: no new revision
    with pytest.raises(DocumentError, match=r"shop\.yaml:2: "):
        path.write_text("a: [")
        Registry(store, path)


def test_the_file_is_watched_while_the_platform_runs(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "CHECK_EVERY", 0.01)
    path = tmp_path / "shop.yaml"
    path.write_bytes(ONE)
    from_file = Registry(store, path)
    with from_file.watching():
        path.write_bytes(TWO)
        while len(from_file.definitions()) < 2:
            pass
    with Registry(store).watching():
        pass


def test_a_change_needs_a_key_with_the_scope_admin(store: Store, api: ApiClient) -> None:
    reader = Reader(store)
    keys = authenticator(read={"read"}, admin={"admin"})
    api.app = create_app(reader, reader.answers, authenticator=keys)
    for may, expected in {"read": (200, 403), "admin": (403, 200), "": (401, 401)}.items():
        headers = {"authorization": f"Bearer {may}", "content-type": YAML}
        answers = [
            api.send(method, PATH, headers=headers, content=ONE) for method in ("GET", "PUT")
        ]
        assert tuple(answer.status_code for answer in answers) == expected
        if may == "read":
            assert "`admin`" in answers[1].json()["detail"]
