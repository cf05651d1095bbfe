"""Logins of browsers, and what is open without a key."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from clew.access import Authenticator, Keys, Logins, Unauthenticated, add_key, login_secret, new_key
from clew.api import create_app
from clew.storage import Reader, Store
from clew.web import Web


class Site:
    """An application with keys, and a page."""

    def __init__(self, store: Store, directory: Path) -> None:
        self.file = directory / "keys"
        self.keys = {}
        for name, scope in (("anna", "read"), ("admin", "admin"), ("sender", "ingest")):
            scopes = ["read", scope] if scope == "admin" else [scope]
            self.keys[name], line = new_key(name, scopes)
            add_key(self.file, line)
        keys = Keys(self.file)
        self.logins = Logins(keys, login_secret(directory / "login-secret"))
        static = directory / "static"
        (static / "assets").mkdir(parents=True)
        (static / "index.html").write_text("<title>clew</title>")
        (static / "assets" / "main-1.js").write_text("1")
        self.app = create_app(
            Reader(store),
            lambda: True,
            authenticator=Authenticator(keys),
            logins=self.logins,
            pages=Web(static),
        )

    def send(self, method: str, path: str, **request: Any) -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="https://clew") as client:
                return await client.request(method, path, **request)

        return asyncio.run(send())

    def log_in(self, name: str) -> dict[str, str]:
        """The headers of a browser that has logged in."""
        response = self.send("POST", "/login", json={"key": self.keys[name]})
        assert response.status_code == 204
        cookie = response.headers["set-cookie"]
        assert cookie.endswith("; Max-Age=43200; Path=/; Secure; HttpOnly; SameSite=Strict")
        assert self.keys[name] not in cookie
        return {"cookie": f"theme=dark; {cookie.partition(';')[0]}"}


@pytest.fixture
def site(store: Store, tmp_path: Path) -> Site:
    return Site(store, tmp_path)


def test_a_login_counts_as_its_key(site: Site) -> None:
    headers = site.log_in("anna")
    assert site.send("GET", "/api/v1/services").status_code == 401
    assert site.send("GET", "/api/v1/services", headers=headers).status_code == 200
    assert site.send("GET", "/openapi.json", headers=headers).status_code == 200


def test_a_login_has_the_scopes_of_every_line_of_its_key(site: Site) -> None:
    line = site.file.read_text().splitlines()[0]
    site.file.write_text(f"{line}\n{line.replace(' read ', ' admin ')}\n")
    logins = Logins(Keys(site.file), b"s" * 32)
    assert logins.principal(logins.token(site.keys["anna"])).scopes == {"read", "admin"}


def test_a_change_needs_more_than_the_cookie(site: Site) -> None:
    headers = site.log_in("admin") | {"content-type": "application/yaml"}
    put = {"method": "PUT", "path": "/api/v1/definitions", "content": "transactions: []"}
    response = site.send(**put, headers=headers)
    assert response.status_code == 403
    assert "X-Clew" in response.json()["detail"]
    assert site.send(**put, headers=headers | {"x-clew": "1"}).status_code == 200
    reader = headers | site.log_in("anna") | {"x-clew": "1"}
    assert site.send(**put, headers=reader).status_code == 403


def test_who_may_not_log_in(site: Site) -> None:
    for body, status in (
        ({"key": "clew_wrong"}, 401),
        ({"key": site.keys["sender"]}, 403),
        ({"key": ["list"]}, 422),
        ({}, 422),
        ({"key": "x" * 2000}, 422),
    ):
        response = site.send("POST", "/login", json=body)
        assert response.status_code == status
        assert "set-cookie" not in response.headers
        assert "clew_wrong" not in response.text


def test_a_token_ends(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    token = site.logins.token(site.keys["anna"])
    assert site.logins.principal(token).name == "anna"
    name, expiry, signature = token.split(".")
    for wrong in (
        "",
        "a",
        f"{name}.{int(expiry) + 1}.{signature}",
        f"!{token}",
        f"{token}0",
        f"YWRtaW4.{expiry}.{signature}",
        f"_.{expiry}.{signature}",
    ):
        with pytest.raises(Unauthenticated):
            site.logins.principal(wrong)
    lines = [line for line in site.file.read_text().splitlines() if not line.startswith("anna")]
    now = time.time()
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: now + 12 * 3600 + 1)
        with pytest.raises(Unauthenticated):
            site.logins.principal(token)
    site.file.write_text("\n".join(lines))
    with pytest.raises(Unauthenticated):
        # The key's line has left the file.
        Logins(Keys(site.file), login_secret(site.file.parent / "login-secret")).principal(token)


def test_the_secret_is_kept(tmp_path: Path) -> None:
    secret = login_secret(tmp_path / "secret")
    assert len(secret) == 32
    assert login_secret(tmp_path / "secret") == secret
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600


def test_logging_out_deletes_the_cookie(site: Site) -> None:
    response = site.send("POST", "/logout")
    assert response.status_code == 204
    assert response.headers["set-cookie"].startswith("__Host-clew=; Max-Age=0;")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 200),
        ("GET", "/traces/1?span=2", 200),
        ("HEAD", "/login", 200),
        ("GET", "/assets/main-1.js", 200),
        ("GET", "/assets/none.js", 404),
        ("GET", "/assets/../index.html", 200),
        ("GET", "/assets/%2e%2e/index.html", 404),
        ("GET", "/assets/..%2findex.html", 404),
        ("GET", "/healthz", 200),
        ("GET", "/docs", 401),
        ("GET", "/openapi.json", 401),
        ("GET", "/v1/anything", 401),
        ("GET", "/api/v1/none", 401),
        ("POST", "/", 401),
        ("PUT", "/api/v1/definitions", 401),
    ],
)
def test_what_is_open_without_a_key(site: Site, method: str, path: str, status: int) -> None:
    assert site.send(method, path).status_code == status


def test_the_headers_of_pages(site: Site) -> None:
    page = site.send("GET", "/transactions")
    assert page.headers["cache-control"] == "no-cache"
    assert "require-trusted-types-for 'script'" in page.headers["content-security-policy"]
    assert page.headers["x-content-type-options"] == "nosniff"
    asset = site.send("GET", "/assets/main-1.js")
    assert "immutable" in asset.headers["cache-control"]
    assert asset.headers["content-type"].startswith("text/javascript")


def test_a_checkout_without_the_built_page_says_what_to_do(store: Store, tmp_path: Path) -> None:
    app = create_app(Reader(store), lambda: True, pages=Web(tmp_path))

    async def get(path: str) -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://clew") as client:
            return await client.get(path)

    page = asyncio.run(get("/"))
    assert page.status_code == 200
    assert "make ui" in page.text
    unknown = asyncio.run(get("/api/v1/none"))
    assert unknown.status_code == 404
    assert unknown.headers["content-type"] == "application/problem+json"


def test_the_docs_load_nothing_from_elsewhere(store: Store) -> None:
    app = create_app(Reader(store), lambda: True)

    async def get(path: str) -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://clew") as client:
            return await client.get(path)

    page = asyncio.run(get("/docs"))
    assert page.status_code == 200
    assert "/api/v1/transactions/{transaction_id}" in page.text
    assert "<script" not in page.text
    assert "//" not in page.text.replace("http://", "")
    assert page.headers["content-security-policy"].startswith(
        "default-src 'none'; style-src 'self'"
    )
    assert asyncio.run(get("/docs/style.css")).headers["content-type"].startswith("text/css")
