"""Where API keys are on: no data without a login, and no key within a script's reach."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from clew.access import Authenticator, Keys, Logins, add_key, login_secret, new_key
from clew.storage import Store
from conftest import Visitor, serving
from support import problems
from support.seeded import seed

pytestmark = pytest.mark.slow


@pytest.fixture
def guarded(emptied: Callable[[], Store], tmp_path: Path) -> Iterator[tuple[str, str]]:
    """The URL of an API with keys, and a key."""
    store = emptied()
    seed(store, tmp_path)
    file = tmp_path / "keys"
    key, line = new_key("anna", ["read", "admin"])
    add_key(file, line)
    keys = Keys(file)
    logins = Logins(keys, login_secret(tmp_path / "login-secret"))
    with serving(store, authenticator=Authenticator(keys), logins=logins) as (url, _):
        yield url, key


def test_logging_in(chromium: Any, guarded: tuple[str, str]) -> None:
    url, key = guarded
    visitor = Visitor(chromium, url)
    page = visitor.page
    page.goto(f"{url}/traces?status=error")
    page.get_by_role("alert").first.get_by_text("An API key is needed").wait_for()
    page.get_by_role("link", name="Log in").first.click()
    page.get_by_label("API key").fill("clew_wrong")
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("alert").get_by_text("An API key is needed").wait_for()
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("**/traces?status=error")
    page.get_by_role("table", name="Traces").wait_for()
    page.goto(f"{url}/problems/{problems.CAUSE}")
    page.get_by_text("what one does here needs the scope operate").wait_for()
    assert page.get_by_role("button", name="Acknowledge").count() == 0
    reach = page.evaluate("[document.cookie, JSON.stringify(localStorage), location.href]")
    assert all(key not in text and "__Host-clew" not in text for text in reach)
    cookies = {cookie["name"]: cookie for cookie in visitor.context.cookies()}
    assert cookies["__Host-clew"]["httpOnly"]
    put = """async headers => (await fetch("/api/v1/definitions", {method: "PUT",
        headers: {"content-type": "application/yaml", ...headers}, body: "transactions: []"})).status"""
    assert page.evaluate(put, {}) == 403
    assert page.evaluate(put, {"X-Clew": "1"}) == 200
    cookie = f"__Host-clew={cookies['__Host-clew']['value']}"
    foreign = httpx.put(
        f"{url}/api/v1/definitions",
        headers={"cookie": cookie, "x-clew": "1", "origin": "http://evil.example"},
    )
    assert foreign.status_code == 403
    visitor.close()
    assert visitor.complaints == []
