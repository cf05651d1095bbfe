"""A thread that runs a job repeatedly."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Protocol

logger = logging.getLogger(__name__)


class Stopped(Exception):
    """The worker stops; the job ends here."""


class Stop(Protocol):
    """What a job calls between its steps."""

    def check(self) -> None:
        """Wait while the worker is paused. Raises Stopped when it stops."""


class Worker:
    """Runs `job` in a daemon thread: at the start, when woken, and when the job is due again.

    The job returns the seconds until it is due again without a wake (math.inf: never). An exception
    is logged after `failure`, a phrase such as "the size is not checked", and the job runs again
    after `pauses[0]` seconds, doubled with each further failure up to `pauses[1]`.

    `gather`: seconds between a wake and the run, so that one run serves several wakes.
    `cooldown`: the minimum of seconds before the next run, given the seconds that a run took.
    `drain`: when the worker stops, a wake that had no run yet gets one.
    """

    def __init__(
        self,
        name: str,
        job: Callable[[Stop], float],
        failure: str,
        *,
        pauses: tuple[float, float] = (1.0, 30.0),
        gather: float = 0.0,
        cooldown: Callable[[float], float] = lambda seconds: 0.0,
        drain: bool = False,
    ) -> None:
        self.failures = 0  # consecutive failures of the job
        self._job = job
        self._failure = failure
        self._pauses = pauses
        self._gather = gather
        self._cooldown = cooldown
        self._drain = drain
        self._change = threading.Condition()
        self._woken, self._gather_until = True, 0.0
        self._hurried = False  # the next run has been asked for without delay
        self._due, self._earliest_run = math.inf, 0.0
        self._pause_count = 0
        self._working = False
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stopping

    def start(self) -> None:
        """Start the thread."""
        self._gather_until = monotonic() + self._gather
        self._thread.start()

    def wake(self) -> None:
        """Have the job run soon."""
        with self._change:
            if not self._woken:
                self._woken, self._gather_until = True, monotonic() + self._gather
                self._change.notify_all()

    def wake_now(self) -> None:
        """Have the job run without delay, but for the pause after a failure."""
        with self._change:
            self._woken, self._gather_until, self._hurried = True, 0.0, True
            self._change.notify_all()

    @property
    def is_paused(self) -> bool:
        """Whether somebody has it paused."""
        return bool(self._pause_count)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """A context in which the job does not work: it has not started, or waits in `check`."""
        with self._change:
            self._pause_count += 1
            self._change.notify_all()
            self._change.wait_for(lambda: not self._working)
        try:
            yield
        finally:
            with self._change:
                self._pause_count -= 1
                self._change.notify_all()

    @contextmanager
    def running(self, seconds: float = 5.0) -> Iterator[None]:
        """A context in which the thread runs. At its end the thread is stopped, and waited for at
        most so many seconds."""
        self.start()
        try:
            yield
        finally:
            self.close(seconds)

    def stop(self) -> None:
        """End the job at its next check, and start no further run. Does not wait."""
        with self._change:
            self._stopping = True
            self._change.notify_all()

    def close(self, seconds: float) -> bool:
        """Stop, and wait for the thread. Returns whether it has ended within that time."""
        self.stop()
        if self._thread.is_alive():
            self._thread.join(seconds)
        return not self._thread.is_alive()

    def wait(self, seconds: float) -> None:
        """For the job: wait so many seconds, or until `stop` is called."""
        with self._change:
            self._change.wait_for(lambda: self._stopping, seconds)

    def check(self) -> None:
        """See Stop."""
        with self._change:
            self._working = False
            self._change.notify_all()
            self._change.wait_for(lambda: not self._pause_count or self._stopping)
            self._working = True
            if self._stopping:
                raise Stopped

    def _run(self) -> None:
        while self._wait_for_run():
            start = monotonic()
            try:
                seconds = self._job(self)
            except Stopped:
                seconds = 0.0
            except Exception as error:  # whatever it is, the thread continues
                seconds = self._log_failure(error)
                self._earliest_run = monotonic() + seconds
            else:
                self.failures = 0
                self._earliest_run = monotonic() + self._cooldown(monotonic() - start)
            self._due = monotonic() + seconds
            with self._change:
                self._working = False
                self._change.notify_all()

    def _log_failure(self, error: Exception) -> float:
        """Returns the seconds until the next attempt."""
        first, longest = self._pauses
        pause = min(first * 2.0**self.failures, longest)
        self.failures += 1
        if not self._stopping:
            logger.warning("%s, next attempt in %.0f s: %s", self._failure, pause, error)
        return pause

    def _is_hurried(self) -> bool:
        return self._hurried and not self.failures

    def _wait_for_run(self) -> bool:
        """Wait until the job should run. Returns False when the thread should end."""
        with self._change:
            while not self._stopping:
                due = min(self._due, self._gather_until) if self._woken else self._due
                next_run = max(due, 0.0 if self._is_hurried() else self._earliest_run)
                if next_run <= monotonic() and not self._pause_count:
                    self._woken = self._hurried = False
                    self._working = True
                    return True
                indefinite = next_run == math.inf or self._pause_count
                self._change.wait(None if indefinite else next_run - monotonic())
            runs_once_more = self._drain and self._woken
            self._woken, self._working = False, runs_once_more
            return runs_once_more
