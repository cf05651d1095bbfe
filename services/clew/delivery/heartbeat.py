"""A dead man's ping: somebody else is told, again and again, that alerts are judged.

It stops when they are not, so who gets it raises the alarm that clew cannot raise itself.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable

from clew.analysis.alerts.receivers import Heartbeat
from clew.background import Stop, Worker
from clew.delivery.errors import DeliveryError
from clew.delivery.senders import Sender

logger = logging.getLogger(__name__)

MAX_LAG = 180.0  # seconds since the last minute that was judged, after which it is silent
LOOK_EVERY = 5.0  # seconds, for a heartbeat that the file may name


class HeartbeatSender:
    """Sends the ping that `setting` names, each `every` seconds, while `lag`, the seconds since the
    end of the last minute that was judged, is small. `now`: seconds of a clock."""

    def __init__(
        self,
        setting: Callable[[], Heartbeat | None],
        lag: Callable[[], float],
        sender: Sender,
        now: Callable[[], float],
    ) -> None:
        self._setting = setting
        self._lag = lag
        self._sender = sender
        self._now = now
        self._due_at = 0.0
        self._failures = 0
        self._worker = Worker("heartbeat", self._work, "the heartbeat is not sent")
        self.start = self._worker.start
        self.paused = self._worker.paused
        self.close = self._worker.close

    def _work(self, stop: Stop) -> float:
        self.beat()
        return LOOK_EVERY

    def beat(self) -> bool:
        """Send the ping if it is due; whether it was taken."""
        heartbeat = self._setting()
        if heartbeat is None or self._now() < self._due_at or self._lag() > MAX_LAG:
            return False
        self._due_at = self._now() + heartbeat.every
        body = json.dumps({"source": "clew", "alerts_judged_ago_s": round(self._lag())}).encode()
        try:
            self._sender.ping(heartbeat, body)
        except DeliveryError as error:
            if not self._failures:
                logger.warning("the heartbeat is not taken: %s", error)
            self._failures += 1
            return False
        self._failures = 0
        return True
