"""A backup is taken while requests come in, and is the tables as they were at one instant."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import tarfile
import time
from pathlib import Path

import pytest
from oracle import ITEMS, SIGNALS, Book, Load, Stored, check, ledger, wait_for

from clew.cli import control
from support.processes import CLEW, Clew
from support.stored import wait_until_loaded


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*CLEW, *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False
    )


def stored_in(data: Path) -> Stored:
    """What a database holds: each request wholly, and the side tables say what the base says."""
    stored = Stored.read(f"chdb://{data}/db")
    assert stored.sides
    for requests in stored.requests.values():
        assert {(items, least == most) for items, least, most in requests.values()} <= {
            (ITEMS, True)
        }
    return stored


@pytest.mark.parametrize("name", ["backup.tar", pytest.param("backup", marks=pytest.mark.slow)])
def test_a_backup_while_requests_come_in(clew: Clew, tmp_path: Path, name: str) -> None:
    target, elsewhere = tmp_path / name, tmp_path / "elsewhere"
    book = Book()
    load = Load(book, clew)
    try:
        wait_for(lambda: ledger(clew, wait=1)[0]["stored"])
        stored_before = ledger(clew)[0]["stored"]
        taken = run("backup", target, "--data", clew.data)
        assert taken.returncode == 0, taken.stderr
        time.sleep(0.5)
    finally:
        load.stop()
    assert not list((clew.data / "db" / "shadow").glob("clew_backup_*"))
    assert (clew.data / "clew.sock").stat().st_mode & 0o777 == 0o600
    restored = run("restore", target, "--data", elsewhere)
    assert restored.returncode == 0, restored.stderr
    held = stored_in(elsewhere)
    assert held.rows["traces"] >= stored_before > 0
    for kind in SIGNALS:
        sent = {*book.acknowledged[kind], *book.unanswered[kind]}
        assert held.requests[kind].keys() < sent
    check(clew, book)


def test_clew_stops_while_a_backup_is_copied(clew: Clew) -> None:
    with control.request_lines(clew.data, {"ask": "backup"}) as lines:
        assert next(lines)["files"]
        assert clew.stop() == 0
        assert next(lines, None) is None
    assert "Traceback" not in clew.log.read_text()
    assert not list((clew.data / "db" / "shadow").glob("clew_backup_*"))


@pytest.mark.slow
def test_a_restored_platform_answers_as_before(clew: Clew, tmp_path: Path) -> None:
    book = Book()
    load = Load(book, clew)
    time.sleep(1)
    load.stop()
    wait_until_loaded(clew.data)
    window = {"start": "-1h", "end": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
    paths = ("/api/v1/transactions", "/api/v1/traces", "/api/v1/services")
    before = [clew.get(path, **window).json() for path in paths]
    assert before[0]["transactions"]
    assert clew.stop() == 0
    stopped = tmp_path / "stopped.tar"
    assert run("backup", stopped, "--data", clew.data).returncode == 0
    elsewhere = tmp_path / "elsewhere"
    assert run("restore", stopped, "--data", elsewhere, "--retention", "30d").returncode == 0
    restored_clew = Clew(elsewhere)
    try:
        for path, was in zip(paths, before, strict=True):
            answer = restored_clew.get(path, **window | {"start": was.get("start", "-1h")}).json()
            assert {**answer, "start": ""} == {**was, "start": ""}
        occupied = run("restore", stopped, "--data", elsewhere)
        assert occupied.returncode == 2
        assert "not empty" in occupied.stderr
    finally:
        restored_clew.stop()


@pytest.mark.slow
def test_killed_in_the_middle_of_a_backup(clew: Clew, tmp_path: Path) -> None:
    book = Book()
    load = Load(book, clew)
    time.sleep(1.5)
    target = tmp_path / "backup"
    for victim in ("backup", "platform"):
        taking = subprocess.Popen([*CLEW, "backup", str(target), "--data", str(clew.data)])
        deadline = time.monotonic() + 60
        partial = tmp_path / "backup.partial"
        while not partial.exists() and taking.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.001)
        if victim == "backup":
            taking.send_signal(signal.SIGKILL)
            taking.wait()
            if partial.exists():
                shutil.move(partial, tmp_path / "half")
        else:
            clew.kill()
            taking.wait(60)
            clew.start()
        shutil.rmtree(target, ignore_errors=True)
    time.sleep(0.5)
    load.stop()
    shadow = clew.data / "db" / "shadow"
    assert not list(shadow.glob("clew_backup_*"))
    if (tmp_path / "half").exists():
        refused = run("restore", tmp_path / "half", "--data", tmp_path / "no")
        assert refused.returncode == 2
        assert "not a complete backup" in refused.stderr
        assert not (tmp_path / "no" / "db").exists()
    check(clew, book)


@pytest.mark.slow
def test_a_damaged_backup_is_refused(clew: Clew, tmp_path: Path) -> None:
    book = Book()
    load = Load(book, clew)
    time.sleep(0.7)
    load.stop()
    wait_until_loaded(clew.data)
    whole, elsewhere = tmp_path / "whole.tar", tmp_path / "elsewhere"
    assert run("backup", whole, "--data", clew.data).returncode == 0
    assert "exists" in run("backup", whole, "--data", clew.data).stderr
    half = tmp_path / "half.tar"
    half.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with tarfile.open(whole) as tar:
        tar.extractall(tmp_path / "damaged", filter="fully_trusted")
    victim = max((tmp_path / "damaged" / "db").rglob("*.bin"), key=lambda path: path.stat().st_size)
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    victim.write_bytes(content)
    outside = tmp_path / "outside"
    shutil.copytree(tmp_path / "damaged", outside)
    manifest = json.loads((outside / "manifest.json").read_text())
    manifest["files"] = {"../../stolen": [1, "0"]}
    (outside / "manifest.json").write_text(json.dumps(manifest))
    for backup, why in (
        (half, "not a complete backup"),
        (tmp_path / "damaged", "is damaged"),
        (outside, "leads out of the backup"),
        (tmp_path / "nowhere", "does not exist"),
    ):
        refused = run("restore", backup, "--data", elsewhere)
        assert refused.returncode == 2
        assert why in refused.stderr
        assert not list(elsewhere.iterdir())
