"""API keys: what is let in, what is not, and a file that changes meanwhile."""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path

import pytest

from clew.cli import keys
from clew.cli.keys import Keys, new_key
from clew.cli.main import main
from clew.cli.settings import UsageError


@pytest.fixture(autouse=True)
def _look_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "LOOK_AFTER", 0.0)


def test_a_key_is_for_its_scopes(tmp_path: Path) -> None:
    sender, sends = new_key("web", ["ingest"])
    person, reads = new_key("grafana", ["read"])
    both, does_both = new_key("ops", ["read", "ingest"])
    owner, changes = new_key("owner", ["admin"])
    file = tmp_path / "keys"
    clew, has_all = new_key("clew", ["database"])
    lines = (f"{sends}  # a comment", reads, does_both, changes, has_all)
    file.write_text("# who\n\n" + "\n".join(map(str, lines)))
    checked = Keys(file)
    expected = {
        sender: {"ingest"},
        person: {"read"},
        both: {"ingest", "read"},
        owner: {"admin"},
        clew: {"database"},
    }
    for key, scopes in expected.items():
        for scope in keys.SCOPES:
            answer = HTTPStatus.OK if scope in scopes else HTTPStatus.FORBIDDEN
            assert checked.check(f"Bearer {key}", scope) is answer
    assert checked.check("Bearer clew_another", "read") is HTTPStatus.UNAUTHORIZED


def test_a_key_is_the_password_of_the_user_of_its_name(tmp_path: Path) -> None:
    person, reads = new_key("grafana", ["read"])
    another, writes = new_key("otelcol", ["ingest"])
    file = tmp_path / "keys"
    file.write_text(f"{reads}\n{writes}\n")
    checked = Keys(file)
    assert checked.scopes("grafana", person) == {"read"}
    assert checked.scopes("otelcol", another) == {"ingest"}
    for name, key in (("grafana", another), ("otelcol", person), ("default", ""), ("grafana", "")):
        assert checked.scopes(name, key) is None


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer ", "Basic {key}", "{key}", "Bearer {key}x", "Bearer ü\udc80"],
)
def test_anything_but_a_bearer_key_is_no_key(tmp_path: Path, authorization: str) -> None:
    key, line = new_key("web", ["ingest"])
    (tmp_path / "keys").write_text(str(line))
    checked = Keys(tmp_path / "keys")
    assert checked.check(authorization.format(key=key), "ingest") is HTTPStatus.UNAUTHORIZED
    assert checked.check(f"bearer  {key}", "ingest") is HTTPStatus.OK


def test_the_file_holds_no_key_and_neither_does_an_error(tmp_path: Path) -> None:
    key, line = new_key("web", ["ingest"])
    assert key not in str(line)
    (tmp_path / "keys").write_text(f"{line}\nweb ingest {key}\n")
    with pytest.raises(UsageError, match="keys, line 2: write NAME") as error:
        Keys(tmp_path / "keys")
    assert key not in str(error.value)


@pytest.mark.parametrize(
    "line", ["web ingest", "web all sha256:" + "a" * 64, "web ingest sha256:ab"]
)
def test_a_line_that_cannot_be_read_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "keys").write_text(line)
    with pytest.raises(UsageError, match="line 1"):
        Keys(tmp_path / "keys")


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--api-keys: cannot read"):
        Keys(tmp_path / "none")


def test_keys_come_and_go_with_the_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (old, old_line), (new, new_line) = new_key("web", ["ingest"]), new_key("web", ["ingest"])
    file = tmp_path / "keys"
    file.write_text(f"{old_line}\n")
    checked = Keys(file)

    def allowed() -> list[bool]:
        return [checked.check(f"Bearer {key}", "ingest") is HTTPStatus.OK for key in (old, new)]

    assert allowed() == [True, False]
    file.write_text(f"{old_line}\n{new_line}\n")
    assert allowed() == [True, True]
    file.write_text("nonsense\n")
    assert allowed() == [True, True]
    file.unlink()
    assert allowed() == [True, True]
    assert caplog.text.count("the keys stay as they were") == 2
    file.write_text(f"{new_line}\n")
    assert allowed() == [False, True]


def test_the_command_makes_a_key_that_works(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "keys"
    file.write_text("# no newline at its end")
    file.chmod(0o600)
    made = []
    for arguments in (["web"], ["grafana", "--scope", "read"]):
        assert main(["key", *arguments, "--api-keys", str(file)]) == 0
        made.append(capsys.readouterr().out.strip())
    checked = Keys(file)
    assert checked.check(f"Bearer {made[0]}", "ingest") is HTTPStatus.OK
    assert checked.check(f"Bearer {made[1]}", "read") is HTTPStatus.OK
    assert checked.check(f"Bearer {made[1]}", "ingest") is HTTPStatus.FORBIDDEN


def test_a_new_file_of_keys_is_for_its_owner_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["key", "web", "--api-keys", str(tmp_path / "keys")]) == 0
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o600
    assert main(["key", "two words"]) == 2
    assert "no spaces" in capsys.readouterr().err


def test_without_a_file_the_line_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("CLEW_API_KEYS", raising=False)
    assert main(["key", "web", "--scope", "ingest", "--scope", "read"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("clew_")
    assert printed[-1].startswith("web ingest,read sha256:")
