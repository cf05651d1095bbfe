"""A thread with one job, which it does again and again."""

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
    """The worker is to end; its job is cut short here."""


class Stop(Protocol):
    """What a job calls between its pieces."""

    def check(self) -> None:
        """Wait while the worker is paused; raise Stopped when it is to end."""


class Worker:
    """Runs `job` in a daemon thread: at the start, when woken, and when the job is due again.

    The job returns after how many seconds it is due though nobody wakes the worker (math.inf:
    never). An exception is logged behind `failure`, a phrase such as "the size is not checked", and
    the job runs again after `pauses[0]` seconds, doubled with each further failure up to
    `pauses[1]`.

    `gather`: seconds that pass between a wake and the run, so that one run serves several wakes.
    `rest`: from the seconds that a run took, those that pass at least before the next.
    `finish`: a wake that has had no run yet gets it before the thread ends.
    """

    def __init__(
        self,
        name: str,
        job: Callable[[Stop], float],
        failure: str,
        *,
        pauses: tuple[float, float] = (1.0, 30.0),
        gather: float = 0.0,
        rest: Callable[[float], float] = lambda took: 0.0,
        finish: bool = False,
    ) -> None:
        self.failures = 0  # of the job, one after the other, up to now
        self._job = job
        self._failure = failure
        self._pauses = pauses
        self._gather = gather
        self._rest = rest
        self._finish = finish
        self._change = threading.Condition()
        self._woken, self._gathered_at = True, 0.0
        self._due, self._not_before = math.inf, 0.0
        self._pausing = 0
        self._working = False
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def stopping(self) -> bool:
        """Whether it was told to end."""
        return self._stopping

    def start(self) -> None:
        self._gathered_at = monotonic() + self._gather
        self._thread.start()

    def wake(self) -> None:
        """There is something to do."""
        with self._change:
            if not self._woken:
                self._woken, self._gathered_at = True, monotonic() + self._gather
                self._change.notify_all()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """From when this is entered until it is left, the job stands still: it has not begun, or
        waits in `check`."""
        with self._change:
            self._pausing += 1
            self._change.notify_all()
            self._change.wait_for(lambda: not self._working)
        try:
            yield
        finally:
            with self._change:
                self._pausing -= 1
                self._change.notify_all()

    @contextmanager
    def running(self, seconds: float = 5.0) -> Iterator[None]:
        """Start the thread; at the end, stop it and wait for it so long."""
        self.start()
        try:
            yield
        finally:
            self.close(seconds)

    def stop(self) -> None:
        """Have the job end at its next check, and begin no further run."""
        with self._change:
            self._stopping = True
            self._change.notify_all()

    def close(self, seconds: float) -> bool:
        """Stop, and wait for the thread; whether it has ended within that time."""
        self.stop()
        if self._thread.is_alive():
            self._thread.join(seconds)
        return not self._thread.is_alive()

    def wait(self, seconds: float) -> None:
        """For the job itself: wait, but not after `stop`."""
        with self._change:
            self._change.wait_for(lambda: self._stopping, seconds)

    def check(self) -> None:
        """See Stop."""
        with self._change:
            self._working = False
            self._change.notify_all()
            self._change.wait_for(lambda: not self._pausing or self._stopping)
            self._working = True
            if self._stopping:
                raise Stopped

    def _run(self) -> None:
        while self._take_turn():
            began = monotonic()
            try:
                seconds = self._job(self)
            except Stopped:
                seconds = 0.0
            except Exception as error:  # whatever it is, the thread goes on
                seconds = self._failed(error)
                self._not_before = monotonic() + seconds
            else:
                self.failures = 0
                self._not_before = monotonic() + self._rest(monotonic() - began)
            self._due = monotonic() + seconds
            with self._change:
                self._working = False
                self._change.notify_all()

    def _failed(self, error: Exception) -> float:
        first, longest = self._pauses
        pause = min(first * 2.0**self.failures, longest)
        self.failures += 1
        if not self._stopping:
            logger.warning("%s, again in %.0f s: %s", self._failure, pause, error)
        return pause

    def _take_turn(self) -> bool:
        """Wait until there is something to do; False when it is time to end."""
        with self._change:
            while not self._stopping:
                due = min(self._due, self._gathered_at) if self._woken else self._due
                at = max(due, self._not_before)
                if at <= monotonic() and not self._pausing:
                    self._woken = False
                    self._working = True
                    return True
                self._change.wait(None if at == math.inf or self._pausing else at - monotonic())
            last = self._finish and self._woken
            self._woken, self._working = False, last
            return last
