"""The ways in which a process ends without the interpreter's exit, which would flush.

A child that multiprocessing (or billiard, which is celery's) forked ends in os._exit, and so do the
children of many programs. SIGTERM ends a process in which nobody handles it: Python's handlers wait
until the C function that runs returns, which may be never, so a thread waits for the signal too.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import wrapt

from clew.agent import delivery, exporting, forks

_GRACE_S = 0.2  # for Python's own handler, before the thread takes over
_HIGHEST = 4096  # the kernel's table of descriptors grows to the highest number: 32 KB


def flush_at_other_ends() -> Sigterm:
    """From now on no way of ending a process loses what it measured, but SIGKILL."""
    for module in ("multiprocessing.process", "billiard.process"):
        wrapt.register_post_import_hook(_flush_after_bootstrap, module)
    os._exit = _flushing_exit(os._exit)  # type: ignore[assignment]
    return Sigterm()


def _flush_after_bootstrap(module: Any) -> None:
    def bootstrap(wrapped: Any, _process: Any, args: Any, kwargs: Any) -> Any:
        try:
            return wrapped(*args, **kwargs)
        finally:
            delivery.flush()

    wrapt.wrap_function_wrapper(module, "BaseProcess._bootstrap", bootstrap)


def _flushing_exit(exit_at_once: Callable[[int], Any]) -> Callable[[int], Any]:
    """Only what was recorded is worth the wait: a child that fails to become another program has
    recorded nothing. One that has sent something has also measured something since."""
    owner = os.getpid()

    def _exit(status: int) -> Any:
        if os.getpid() != owner and (delivery.is_anything_pending() or exporting.has_exported()):
            delivery.flush()
        return exit_at_once(status)

    return _exit


class Sigterm:
    """The default of SIGTERM, which is to end the process, with a flush before. The service sees
    the default that it would see without us, and sets and restores it as it likes."""

    def __init__(self) -> None:
        self._set, self._get = signal.signal, signal.getsignal
        self._set_wakeup = signal.set_wakeup_fd
        self._thread: threading.Thread | None = None
        self._write = -1
        self._mask = set[int | signal.Signals]()
        is_ours = (
            os.name == "posix"
            and not forks.is_embedded()
            and os.getpid() != 1  # spared by the kernel: it keeps running as without us
            and threading.current_thread() is threading.main_thread()
            and self._get(signal.SIGTERM) is signal.SIG_DFL
        )
        if not is_ours:
            return
        self._set(signal.SIGTERM, self.flush_and_die)
        signal.signal, signal.getsignal = self.set_handler, self.get_handler
        signal.set_wakeup_fd = self.set_wakeup_descriptor
        self.resume()
        os.register_at_fork(
            before=self._before_fork,
            after_in_parent=self._after_fork,
            after_in_child=self._in_child,
        )

    def set_handler(self, signalnum: int, handler: Any) -> Any:
        """As signal.signal()."""
        is_default = signalnum == signal.SIGTERM and handler == signal.SIG_DFL
        previous = self._set(signalnum, self.flush_and_die if is_default else handler)
        return signal.SIG_DFL if previous == self.flush_and_die else previous

    def get_handler(self, signalnum: int) -> Any:
        """As signal.getsignal()."""
        handler = self._get(signalnum)
        return signal.SIG_DFL if handler == self.flush_and_die else handler

    def set_wakeup_descriptor(self, descriptor: int, **options: Any) -> int:
        """As signal.set_wakeup_fd(); without one of the service's there is ours."""
        previous = self._set_wakeup(descriptor, **options)
        if descriptor == -1 and self._thread is not None:
            self._set_wakeup(self._write, warn_on_full_buffer=False)
        return -1 if previous == self._write else previous

    def flush_and_die(self, _signum: int, _frame: Any) -> None:
        """The handler. It stays for CLEW_FLUSH_TIMEOUT, in which the flush is usually done: a
        program that terminates its children and exits sends the daemonic ones SIGTERM twice. Then
        the next signal is let through."""
        if delivery.is_overdue():
            _kill_by_default()
        delivery.flush(then=_kill_by_default)

    def resume(self) -> None:
        """Have a thread read the numbers of the signals that arrive; not under gevent, whose hub
        runs Python's handlers."""
        if "gevent.monkey" in sys.modules and sys.modules["gevent.monkey"].saved:
            return
        read, write = os.pipe()
        self._write = _high(write)
        os.set_blocking(self._write, False)
        self._thread = threading.Thread(
            target=self._read, args=(read,), name="clew-sigterm", daemon=True
        )
        try:
            self._thread.start()
        except RuntimeError:  # no thread can be started
            self._thread = None
        else:
            self._set_wakeup(self._write, warn_on_full_buffer=False)

    def pause(self) -> None:
        """End the thread."""
        if self._thread is None or threading.current_thread() is not threading.main_thread():
            return
        thread, self._thread = self._thread, None
        descriptor = self._set_wakeup(-1)
        if descriptor not in (-1, self._write):
            self._set_wakeup(descriptor)
        os.close(self._write)
        thread.join(1)

    def _read(self, read: int) -> None:
        while numbers := os.read(read, 64):
            if signal.SIGTERM not in numbers or self._get(signal.SIGTERM) != self.flush_and_die:
                continue
            time.sleep(_GRACE_S)
            if self._get(signal.SIGTERM) == self.flush_and_die:
                self.flush_and_die(signal.SIGTERM, None)
        os.close(read)

    def _before_fork(self) -> None:
        """Until the child has a pipe of its own, a signal to it would count as one to us."""
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    def _after_fork(self) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)

    def _in_child(self) -> None:
        if self._thread is not None:
            descriptor = self._set_wakeup(-1)
            parents, self._thread = self._write, None
            self.resume()
            os.close(parents)
            if descriptor not in (-1, parents):
                self._set_wakeup(descriptor)
        self._after_fork()


def _high(descriptor: int) -> int:
    """The same with a number that no file gets soon: a service that closes every descriptor, to
    become a daemon, would have signals written into the next file that it opens."""
    import fcntl
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = _HIGHEST if soft == resource.RLIM_INFINITY else min(soft, _HIGHEST)
    try:
        high = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, max(highest - 64, 3))
    except OSError:
        return descriptor
    os.close(descriptor)
    return high


def _kill_by_default() -> None:
    """From any thread: signal.signal() is for the main thread, which may be busy."""
    import ctypes

    ctypes.CDLL(None).signal(int(signal.SIGTERM), 0)
    os.kill(os.getpid(), signal.SIGTERM)
