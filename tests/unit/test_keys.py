"""API keys: their scopes, and changes of their file."""

from __future__ import annotations

from pathlib import Path

import pytest

from clew.access import (
    SCOPES,
    Authenticator,
    Forbidden,
    Keys,
    KeysError,
    Unauthenticated,
    bearer_key,
    keys,
    new_key,
)
from clew.cli.main import main


@pytest.fixture(autouse=True)
def _check_at_every_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "CHECK_EVERY", 0.0)


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
        for scope in SCOPES:
            assert allows(checked, key, scope) is (scope in scopes)
    assert checked.principal("clew_another") is None
    with pytest.raises(Forbidden, match="an API key with the scope `admin`"):
        Authenticator(checked).authenticate(sender).require("admin")
    with pytest.raises(Unauthenticated):
        Authenticator(checked).authenticate("clew_another")


def allows(checked: Keys, key: str, scope: str) -> bool:
    principal = checked.principal(key)
    return principal is not None and principal.may(scope)


def test_without_keys_every_request_has_all_scopes_except_database() -> None:
    anyone = Authenticator().authenticate("")
    assert {scope for scope in SCOPES if anyone.may(scope)} == {
        "ingest",
        "events",
        "read",
        "operate",
        "admin",
    }


def test_two_lines_with_one_key_have_the_scopes_of_both(tmp_path: Path) -> None:
    key, line = new_key("ops", ["read"])
    file = tmp_path / "keys"
    file.write_text(f"{line}\n{str(line).replace(' read ', ' ingest ')}\n")
    principal = Keys(file).principal(key)
    assert principal is not None
    assert (principal.name, principal.scopes) == ("ops", {"read", "ingest"})


def test_a_key_is_a_password_for_its_own_name_only(tmp_path: Path) -> None:
    person, reads = new_key("grafana", ["read"])
    another, writes = new_key("otelcol", ["ingest"])
    file = tmp_path / "keys"
    file.write_text(f"{reads}\n{writes}\n")
    checked = Keys(file)
    for name, key, scopes in (("grafana", person, {"read"}), ("otelcol", another, {"ingest"})):
        principal = checked.principal(key, name)
        assert principal is not None
        assert (principal.name, principal.scopes) == (name, scopes)
    for name, key in (("grafana", another), ("otelcol", person), ("default", ""), ("grafana", "")):
        assert checked.principal(key, name) is None


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer ", "Basic {key}", "{key}", "Bearer {key}x", "Bearer ü\udc80"],
)
def test_only_a_bearer_token_is_a_key(tmp_path: Path, authorization: str) -> None:
    key, line = new_key("web", ["ingest"])
    (tmp_path / "keys").write_text(str(line))
    checked = Keys(tmp_path / "keys")
    assert checked.principal(bearer_key(authorization.format(key=key))) is None
    assert checked.principal(bearer_key(f"bearer  {key}")) is not None


def test_neither_the_file_nor_an_error_contains_a_key(tmp_path: Path) -> None:
    key, line = new_key("web", ["ingest"])
    assert key not in str(line)
    (tmp_path / "keys").write_text(f"{line}\nweb ingest {key}\n")
    with pytest.raises(KeysError, match="keys, line 2: write NAME") as error:
        Keys(tmp_path / "keys")
    assert key not in str(error.value)


@pytest.mark.parametrize(
    "line", ["web ingest", "web all sha256:" + "a" * 64, "web ingest sha256:ab"]
)
def test_the_error_of_an_invalid_line_has_its_number(tmp_path: Path, line: str) -> None:
    (tmp_path / "keys").write_text(line)
    with pytest.raises(KeysError, match="line 1"):
        Keys(tmp_path / "keys")


def test_the_error_of_a_missing_file_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(KeysError, match="--api-keys: cannot read"):
        Keys(tmp_path / "none")


def test_keys_change_with_the_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (old, old_line), (new, new_line) = new_key("web", ["ingest"]), new_key("web", ["ingest"])
    file = tmp_path / "keys"
    file.write_text(f"{old_line}\n")
    checked = Keys(file)

    def allowed() -> list[bool]:
        return [allows(checked, key, "ingest") for key in (old, new)]

    assert allowed() == [True, False]
    file.write_text(f"{old_line}\n{new_line}\n")
    assert allowed() == [True, True]
    file.write_text("nonsense\n")
    assert allowed() == [True, True]
    file.unlink()
    assert allowed() == [True, True]
    assert caplog.text.count("the API keys do not change") == 2
    file.write_text(f"{new_line}\n")
    assert allowed() == [False, True]


def test_the_command_adds_a_valid_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "keys"
    file.write_text("# no newline at its end")
    file.chmod(0o600)
    made = []
    for arguments in (["web"], ["grafana", "--scope", "read"]):
        assert main(["key", *arguments, "--api-keys", str(file)]) == 0
        made.append(capsys.readouterr().out.strip())
    checked = Keys(file)
    assert allows(checked, made[0], "ingest")
    assert allows(checked, made[1], "read")
    assert not allows(checked, made[1], "ingest")


def test_only_the_owner_can_read_a_new_file_of_keys(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["key", "web", "--api-keys", str(tmp_path / "keys")]) == 0
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o600
    assert main(["key", "two words"]) == 2
    assert "without spaces" in capsys.readouterr().err


def test_without_a_file_the_line_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("CLEW_API_KEYS", raising=False)
    assert main(["key", "web", "--scope", "ingest", "--scope", "read"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("clew_")
    assert printed[-1].startswith("web ingest,read sha256:")
