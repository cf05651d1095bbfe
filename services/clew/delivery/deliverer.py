"""The deliverer: a thread that sends what the outbox has, in the order in which it came.

Each receiver is served by itself, so one that is away holds up no other. It is tried again after
10 s, then after longer and longer times, for a day. What has waited for long goes out as one
summary, and so does what exceeds the receiver's messages a minute: a storm is one message.
"""

from __future__ import annotations

import hashlib
import logging
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from operator import attrgetter
from typing import Protocol

from clew.analysis.alerts.outbox import Outbox, OutboxEntry
from clew.analysis.alerts.receivers import Receiver
from clew.background import Stop, Worker
from clew.delivery.errors import DeliveryError
from clew.delivery.messages import Message
from clew.delivery.senders import Sender

logger = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 10.0, 600.0  # seconds between two attempts
GIVE_UP_AFTER = 86_400.0  # seconds
OLD_AFTER = 900.0  # seconds: what has waited for so long goes out with all others that have
LOOK_EVERY = 60.0  # seconds, without a wake
CAUSE_PATIENCE = 15.0  # seconds that a message waits for the cause of what it tells


@dataclass
class _Line:
    """The messages to one receiver: when the last ones went, and until when it is left alone."""

    sent_at: deque[float] = field(default_factory=deque)
    failures: int = 0
    rests_until: float = 0.0

    def room(self, now: float, per_minute: int) -> int:
        """How many more messages may go now."""
        while self.sent_at and self.sent_at[0] <= now - 60:
            self.sent_at.popleft()
        return per_minute - len(self.sent_at)


class Causes(Protocol):
    """Why alerts fire, as far as it is found."""

    def expects(self, alert: str, episode: int) -> bool:
        """Whether the cause of an episode may still be found."""

    def sentences(self) -> Mapping[tuple[str, int], Mapping[str, str]]:
        """By alert and episode a sentence for each of `cause` and `impact`. Raises StorageError."""


class Deliverer:
    """Sends what is in the outbox. `receivers` gives the receivers in force, by name; `now` the
    time in seconds since 1970; `causes` the causes of alerts and what
    they cost, which messages carry.

    At least once: an entry is marked as sent after its receiver has taken it. A crash in between
    sends it again, with the same key."""

    def __init__(
        self,
        outbox: Outbox,
        receivers: Callable[[], Mapping[str, Receiver]],
        sender: Sender,
        now: Callable[[], float],
        causes: Causes | None = None,
    ) -> None:
        self._outbox = outbox
        self._causes = causes
        self._receivers = receivers
        self._sender = sender
        self._now = now
        self._lines: dict[str, _Line] = {}
        self._worker = Worker("deliverer", self._work, "alerts are not delivered", gather=0.1)
        self.wake = self._worker.wake
        self.start = self._worker.start
        self.paused = self._worker.paused
        self.close = self._worker.close

    def deliver(self, stop: Stop) -> float:
        """Send what is due. Returns the seconds until something is due again; math.inf if nothing
        waits. Raises StorageError."""
        waiting = self._with_causes(self._outbox.waiting())
        waiting.sort(key=attrgetter("receiver"))  # keeps their order
        due = [
            self._serve(name, list(entries), stop)
            for name, entries in groupby(waiting, key=attrgetter("receiver"))
        ]
        return max(0.0, min(due, default=float("inf")) - self._now())

    def _with_causes(self, entries: list[OutboxEntry]) -> list[OutboxEntry]:
        """The entries with the causes of their alerts and what they cost, where these are found."""
        if self._causes is None or not entries:
            return entries
        by_episode = self._causes.sentences()
        result = []
        for entry in entries:
            notification = entry.notification
            sentences = by_episode.get((notification.alert, notification.episode), {})
            explanation = {
                name: sentences[name] for name in ("cause", "impact") if name in sentences
            } | dict(notification.explanation)
            result.append(
                replace(entry, notification=replace(notification, explanation=explanation))
            )
        return result

    def _waits_until(self, entries: Sequence[OutboxEntry], now: float) -> float:
        """Until when a receiver's messages wait for the cause of one of them."""
        causes = self._causes
        return max(
            (
                entry.created_at + CAUSE_PATIENCE
                for entry in entries
                if causes is not None
                and now - entry.created_at < CAUSE_PATIENCE
                and causes.expects(entry.notification.alert, entry.notification.episode)
            ),
            default=now,
        )

    def _work(self, stop: Stop) -> float:
        return min(self.deliver(stop), LOOK_EVERY) if self._receivers() else LOOK_EVERY

    def _serve(self, name: str, entries: list[OutboxEntry], stop: Stop) -> float:
        """Send a receiver what is due; returns when something is due again, in seconds since 1970,
        infinity if nothing waits."""
        receiver = self._receivers().get(name)
        line = self._lines.setdefault(name, _Line())
        now = self._now()
        if receiver is None:
            return self._wait_for_a_receiver(name, entries, now)
        line.rests_until = max(line.rests_until, *(entry.due_at for entry in entries))
        if now < line.rests_until:
            return line.rests_until
        if (until := self._waits_until(entries, now)) > now:
            return until
        for message, parts in self._messages(name, receiver, line, entries):
            stop.check()
            try:
                self._sender.send(receiver, message)
            except DeliveryError as error:
                return self._fail(line, parts, error)
            line.failures = 0
            line.sent_at.append(self._now())
            self._outbox.put(part.delivered() for part in parts)
        return float("inf")

    def _messages(
        self, name: str, receiver: Receiver, line: _Line, entries: Sequence[OutboxEntry]
    ) -> Iterator[tuple[Message, Sequence[OutboxEntry]]]:
        """What to send, and the entries of each message, one after the other: while the first one
        is not taken, no summary of the others is made."""
        now = self._now()
        if not receiver.resolved:
            entries = self._without_ends(entries)
        summaries: dict[str, list[OutboxEntry]] = {}
        for entry in entries:
            if entry.batch:
                summaries.setdefault(entry.batch, []).append(entry)
        for key, parts in summaries.items():
            yield _summary(key, name, parts, now), parts
        old, recent = _split([entry for entry in entries if not entry.batch], now)
        if old:
            yield self._together(name, old, now)
        room = max(line.room(now, receiver.per_minute), 1)
        # The last message that may go now stands for all others.
        singles = len(recent) if len(recent) <= room else room - 1
        for entry in recent[:singles]:
            yield Message(entry.key, name, (entry.notification,)), [entry]
        if recent[singles:]:
            yield self._together(name, recent[singles:], now)

    def _without_ends(self, entries: Sequence[OutboxEntry]) -> Sequence[OutboxEntry]:
        ends = [entry for entry in entries if entry.notification.is_resolved]
        self._outbox.put(entry.dropped("the receiver takes no ends of alerts") for entry in ends)
        return [entry for entry in entries if not entry.notification.is_resolved]

    def _together(
        self, name: str, entries: Sequence[OutboxEntry], now: float
    ) -> tuple[Message, Sequence[OutboxEntry]]:
        """One message for these entries. A summary is stored before it is sent, so that another
        attempt sends the same one under the same key."""
        if len(entries) == 1:
            return Message(entries[0].key, name, (entries[0].notification,)), entries
        key = hashlib.sha256("\0".join(entry.key for entry in entries).encode()).hexdigest()[:32]
        parts = [entry.in_batch(key) for entry in entries]
        self._outbox.put(parts)
        return _summary(key, name, parts, now), parts

    def _fail(self, line: _Line, parts: Sequence[OutboxEntry], error: DeliveryError) -> float:
        """Note a failed attempt; returns when to try again."""
        now = self._now()
        pause = min(FIRST_PAUSE * 2.0**line.failures, LONGEST_PAUSE)
        line.rests_until = now + max(pause, error.retry_after or 0.0)
        if not line.failures:
            logger.warning("%s: alerts are not delivered: %s", parts[0].receiver, error)
        line.failures += 1
        self._outbox.put(
            part.dropped(str(error))
            if now - part.created_at >= GIVE_UP_AFTER
            else part.failed(str(error), line.rests_until)
            for part in parts
        )
        return line.rests_until

    def _wait_for_a_receiver(self, name: str, entries: Sequence[OutboxEntry], now: float) -> float:
        """A file may name the receiver again: its messages wait for a day too."""
        late = [entry for entry in entries if now - entry.created_at >= GIVE_UP_AFTER]
        self._outbox.put(entry.dropped(f"{name!r} is no receiver") for entry in late)
        return now + LOOK_EVERY


def _split(
    entries: Sequence[OutboxEntry], now: float
) -> tuple[list[OutboxEntry], list[OutboxEntry]]:
    """The entries that have waited for long, and the others."""
    old = [entry for entry in entries if now - entry.created_at >= OLD_AFTER]
    return old, [entry for entry in entries if now - entry.created_at < OLD_AFTER]


def _summary(key: str, name: str, entries: Sequence[OutboxEntry], now: float) -> Message:
    is_old = now - entries[0].created_at >= OLD_AFTER
    reason = "they could not be delivered earlier" if is_old else "too many for one message each"
    return Message(key, name, tuple(entry.notification for entry in entries), reason)
