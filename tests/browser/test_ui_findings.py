"""Findings in a browser: what one says of a finding, why, and where it then stands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from clew.analysis.findings.failures import COLUMNS
from clew.storage.rows import Rows
from clew.storage.statements import Statements
from support.repeated import FINDING

pytestmark = pytest.mark.slow


def test_what_one_says_of_a_finding(visit: Callable[..., Any], site: Any) -> None:
    page = visit().open(f"/findings/{FINDING}")
    said = page.get_by_role("region", name="What became of it")
    reason = page.get_by_label("Why")
    # Without a reason nothing is ignored.
    said.get_by_role("button", name="Ignore").click()
    page.get_by_role("alert").get_by_text("say why it is ignored").wait_for()
    for button, state, why in (
        ("Ignore", "ignored", "a report <b>that</b> may take long"),
        ("Resolved", "resolved", "one statement since 1.2"),
        ("Reviewed", "reviewed", ""),
        ("Open again", "open", ""),
    ):
        reason.fill(why)
        said.get_by_role("button", name=button).click()
        said.get_by_role("button", name=button).wait_for(state="detached")
        assert reason.input_value() == ""
        facts = page.locator(".facts").inner_text()
        assert state in facts
        assert why in facts
        stored = httpx.get(f"{site.url}/api/v1/findings/{FINDING}").json()["finding"]
        assert (stored["state"], stored["reason"]) == (state, why)


def test_a_rule_that_did_not_run_is_named(visit: Callable[..., Any], site: Any) -> None:
    row = (b"retries", b"ValueError: <i>no</i>", 1.0, 1)
    Statements(site.store).insert_rows(Rows("clew_finding_failures", COLUMNS, [row]))
    page = visit().open("/findings")
    page.get_by_text("The rule retries did not run: ValueError: <i>no</i>").wait_for()
