"""A file or directory that a command cannot use: one line that names it, and exit status 2."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from clew.cli.main import main
from support.processes import FREE_ADDRESSES

Run = Callable[..., str]


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """A function that runs a command, which it expects to be refused; the line on stderr."""

    def run(command: str, *arguments: object) -> str:
        assert main([command, *map(str, arguments)]) == 2
        error = capsys.readouterr().err
        assert error.startswith("clew: ")
        assert error.count("\n") == 1
        return error

    return run


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file where a directory is needed."""
    path = tmp_path / "file"
    path.write_text("not a directory\n")
    return path


@pytest.mark.parametrize("command", ["up", "collect", "serve", "demo", "migrate", "restore"])
@pytest.mark.parametrize("below", ["", "deep/down"])
def test_a_data_directory_that_cannot_be_made(
    refused: Run, file: Path, command: str, below: str
) -> None:
    addresses = FREE_ADDRESSES if command in ("up", "collect", "serve", "demo") else ()
    source = ["source"] * (command == "restore")
    assert str(file) in refused(command, *source, *addresses, "--data", file / below)


@pytest.mark.parametrize("name", ["a*", "a?", "{a", "a}", "x.tar :: y", "x.ZIP::y", "a\udcff"])
def test_a_path_that_the_engine_reads_as_something_else(
    refused: Run, tmp_path: Path, name: str
) -> None:
    for path in ("--data", tmp_path / name), ("--dsn", f"chdb://{tmp_path}/{name}"):
        data = ("--data", tmp_path / "data")
        error = refused("up", *FREE_ADDRESSES, *data, *path)
        assert ascii(name)[1:-1] in error
        assert "choose" in error or "UTF-8" in error
    assert not (tmp_path / "data" / "spool").exists()


@pytest.mark.parametrize("name", ["a&b", "a\\b", "a\tb", "a\nb"])
def test_a_path_that_the_engines_configuration_cannot_have(
    refused: Run, tmp_path: Path, name: str
) -> None:
    assert "configuration" in refused("up", *FREE_ADDRESSES, "--data", tmp_path / name)
    assert not (tmp_path / name / "db").exists()


@pytest.mark.parametrize(
    "dsn", ["clickhouse://h:port", "clickhouse://[::1", "clickhouse://a:b#c@h"]
)
def test_a_server_that_cannot_be_named_so(refused: Run, tmp_path: Path, dsn: str) -> None:
    assert "CLEW_DSN" in refused("migrate", "--data", tmp_path, "--dsn", dsn)


def test_a_loop_of_links(refused: Run, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert "--data" in refused("up", *FREE_ADDRESSES, "--data", tmp_path / "loop" / "x")


def test_a_data_directory_in_which_nothing_can_be_written(refused: Run, tmp_path: Path) -> None:
    (tmp_path / "clew.lock").mkdir()
    assert f"cannot write in {tmp_path}" in refused("up", *FREE_ADDRESSES, "--data", tmp_path)
    assert "--data" in refused("backfill", "--data", tmp_path)


def test_a_database_directory_that_cannot_be_made(refused: Run, tmp_path: Path, file: Path) -> None:
    data = tmp_path / "data"
    dsn = f"chdb://{file}/db"
    assert f"{file}/db" in refused("up", *FREE_ADDRESSES, "--data", data, "--dsn", dsn)


@pytest.mark.parametrize("flag", ["--api-keys", "--tls-cert"])
@pytest.mark.parametrize("name", ["missing", "directory", "file"])
def test_a_file_that_cannot_be_read(
    refused: Run, tmp_path: Path, file: Path, flag: str, name: str
) -> None:
    (tmp_path / "directory").mkdir()
    path = tmp_path / name
    key = ["--tls-key", path] * (flag == "--tls-cert")
    error = refused("up", *FREE_ADDRESSES, "--data", tmp_path / "data", flag, path, *key)
    assert flag in error
    assert str(path) in error


def test_a_file_of_keys_that_cannot_be_written(refused: Run, tmp_path: Path) -> None:
    assert "--api-keys" in refused("key", "web", "--api-keys", tmp_path)


def test_a_data_directory_that_is_none(refused: Run, file: Path, tmp_path: Path) -> None:
    assert str(file) in refused("replay", "--data", file)
    assert str(file) in refused("backup", tmp_path / "backup.tar", "--data", file)
