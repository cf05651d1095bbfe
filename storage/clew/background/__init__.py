"""What runs in the background: threads that work again and again, and files that are watched.

    Worker          a thread with one job: woken, paused, retried after a failure, stopped
    Stop            what a job asks between its pieces whether to go on
    Stopped         what it raises when the answer is no
    WatchedFiles    notices that files have changed

Imports nothing of clew.
"""

from clew.background.files import WatchedFiles
from clew.background.worker import Stop, Stopped, Worker

__all__ = ["Stop", "Stopped", "WatchedFiles", "Worker"]
