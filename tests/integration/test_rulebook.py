"""Rules of alerts from a file and over the API, stored by revision."""

from __future__ import annotations

from pathlib import Path

import pytest

from clew.analysis import DocumentError, RevisionConflict, documents
from clew.analysis.alerts.rulebook import Rulebook
from clew.analysis.alerts.rules import Rules
from clew.analysis.traces.settling import settler_statements
from clew.storage import Store

FILE = """
zone: Europe/Berlin
defaults: {receiver: team}
rules:
  - {name: slow, select: {service: payments}, when: p95 > 800ms, over: 5m, for: 10m}
receivers:
  team: {webhook: {url: "https://team.example/"}}
  oncall: {webhook: {url: "https://oncall.example/"}}
"""
API = b"""
rules:
  - {name: silent, select: {operation: sync stock}, absent: 2h, receiver: oncall}
route: [{match: {severity: page}, receiver: oncall, repeat: 4h}]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "alerts.yaml"
    path.write_text(FILE)
    return path


def book(store: Store, file: Path | None = None) -> Rulebook:
    return Rulebook(settler_statements(store), store.shared, file)


def api_rules(text: bytes = API) -> Rules:
    return documents.read(text, "yaml", Rules)


def names(rulebook: Rulebook) -> list[str]:
    return [rule.name for rule in rulebook.current().all.rules]


def test_the_files_and_the_apis_rules_count_together(store: Store, file: Path) -> None:
    rulebook = book(store, file)
    assert names(rulebook) == ["slow"]
    assert rulebook.current().revision == 0
    changed = rulebook.replace(api_rules(), [0])
    assert names(rulebook) == ["silent", "slow"]
    assert changed.all.zone == "Europe/Berlin"
    assert changed.all.receivers.keys() == {"team", "oncall"}
    # another process, without the file, sees the same
    again = book(store).current()
    assert again == changed
    with pytest.raises(RevisionConflict, match=str(changed.revision)):
        rulebook.replace(Rules(), [0])
    rulebook.replace(Rules(), [changed.revision])
    assert names(rulebook) == ["slow"]


def test_rules_that_do_not_go_together_are_refused(store: Store, file: Path) -> None:
    rulebook = book(store, file)
    for text, problem in (
        (API.replace(b"oncall", b"nobody"), "'nobody' is not a receiver: oncall, team"),
        (API.replace(b"silent", b"slow"), "slow"),
    ):
        with pytest.raises(DocumentError, match=problem):
            rulebook.replace(api_rules(text))
    assert names(rulebook) == ["slow"]
    rulebook.replace(api_rules())
    file.write_text(FILE.replace("oncall:", "other:"))
    with pytest.raises(DocumentError, match="'oncall' is not a receiver"):
        book(store, file)


def test_the_file_is_watched(store: Store, file: Path, caplog: pytest.LogCaptureFixture) -> None:
    rulebook = book(store, file)
    file.write_text(FILE.replace("name: slow", "name: slower"))
    rulebook.reload_if_changed()
    assert names(rulebook) == ["slower"]
    file.write_text("rules: 5")
    rulebook.reload_if_changed()
    assert names(rulebook) == ["slower"]
    assert "the rules of alerts stay as they are" in caplog.text
