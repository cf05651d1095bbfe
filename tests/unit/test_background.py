"""Workers, and watched files."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from clew.background import Stop, Stopped, WatchedFiles, Worker


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_worker_runs_at_the_start_and_when_it_is_woken() -> None:
    runs: list[float] = []

    def job(_: Stop) -> float:
        runs.append(time.monotonic())
        return math.inf

    worker = Worker("test", job, "failed")
    with worker.running():
        wait_for(lambda: len(runs) == 1)
        worker.wake()
        wait_for(lambda: len(runs) == 2)
    assert not worker.close(0) or len(runs) == 2


def test_a_wake_without_delay_skips_the_rest_after_a_run() -> None:
    runs: list[int] = []

    def job(_: Stop) -> float:
        runs.append(len(runs))
        return math.inf

    worker = Worker("test", job, "failed", cooldown=lambda seconds: 3600.0)
    with worker.running():
        wait_for(lambda: len(runs) == 1)
        worker.wake()
        time.sleep(0.05)
        assert len(runs) == 1
        worker.wake_now()
        wait_for(lambda: len(runs) == 2)


def test_a_worker_runs_when_its_job_is_due_again() -> None:
    runs: list[int] = []

    def job(_: Stop) -> float:
        runs.append(len(runs))
        return 0.0

    with Worker("test", job, "failed").running():
        wait_for(lambda: len(runs) > 3)


def test_one_run_serves_several_wakes_and_a_last_run_drains() -> None:
    served: list[int] = []
    wakes: list[int] = []

    def job(_: Stop) -> float:
        served.append(len(wakes))
        return math.inf

    worker = Worker("test", job, "failed", gather=0.05, drain=True)
    with worker.running():
        for number in range(3):
            wakes.append(number)
            worker.wake()
        wait_for(lambda: len(served) == 1)
        assert served == [3]
        wakes.append(3)
        worker.wake()
    assert served == [3, 4]


def test_a_failed_job_is_logged_and_runs_again(caplog: pytest.LogCaptureFixture) -> None:
    failures: list[int] = []
    worker: Worker

    def job(_: Stop) -> float:
        failures.append(worker.failures)
        if len(failures) < 4:
            raise ValueError("broken")
        return math.inf

    worker = Worker("test", job, "it is not done yet", pauses=(0.001, 0.002))
    with worker.running():
        wait_for(lambda: len(failures) == 4)
        wait_for(lambda: worker.failures == 0)
    assert failures == [0, 1, 2, 3]
    assert caplog.text.count("it is not done yet, next attempt in 0 s: broken") == 3


def test_a_paused_worker_waits_at_its_next_check() -> None:
    steps: list[int] = []

    def job(stop: Stop) -> float:
        while True:
            stop.check()
            steps.append(len(steps))
            time.sleep(0.001)

    worker = Worker("test", job, "failed")
    with worker.running():
        wait_for(lambda: len(steps) > 2)
        with worker.paused():
            count = len(steps)
            time.sleep(0.02)
            assert len(steps) == count
        wait_for(lambda: len(steps) > count)


def test_a_worker_that_is_paused_before_its_start_does_not_run() -> None:
    runs: list[int] = []

    def job(_: Stop) -> float:
        runs.append(1)
        return math.inf

    worker = Worker("test", job, "failed")
    with worker.paused():
        worker.start()
        time.sleep(0.02)
        assert runs == []
    wait_for(lambda: len(runs) == 1)
    assert worker.close(5)


def test_stop_ends_a_job_and_close_returns_whether_the_thread_ended() -> None:
    ended = threading.Event()
    release = threading.Event()

    def job(stop: Stop) -> float:
        try:
            while True:
                stop.check()
                release.wait(0.01)
        except Stopped:
            ended.set()
            raise

    worker = Worker("test", job, "failed")
    worker.start()
    assert worker.close(5)
    assert ended.is_set()
    stuck = Worker("stuck", lambda _: float(release.wait(30)), "failed")
    stuck.start()
    time.sleep(0.01)
    assert not stuck.close(0.01)
    release.set()
    assert stuck.close(5)


def test_a_change_of_a_file_is_reported_once(tmp_path: Path) -> None:
    path = tmp_path / "file"
    watched = WatchedFiles(path, tmp_path / "other")
    assert not watched.changed()
    path.write_text("one")
    assert watched.changed()
    assert not watched.changed()
    path.write_text("other")
    assert watched.changed()
    os.utime(path, (1, 1))
    assert watched.changed()
    path.unlink()
    assert watched.changed()
    assert not watched.changed()
    watched.forget()
    assert watched.changed()


def test_files_are_checked_once_per_interval(tmp_path: Path) -> None:
    path = tmp_path / "file"
    watched = WatchedFiles(path, interval=3600)
    path.write_text("one")
    assert not watched.changed()
