"""Background threads, and watched files.

    Worker          a thread that runs a job repeatedly; it can be woken, paused and stopped
    Stop            passed to the job, which calls check() between its steps
    Stopped         raised by check() when the worker stops
    WatchedFiles    detects changes of files

Imports nothing of clew.
"""

from clew.background.files import WatchedFiles
from clew.background.worker import Stop, Stopped, Worker

__all__ = ["Stop", "Stopped", "WatchedFiles", "Worker"]
