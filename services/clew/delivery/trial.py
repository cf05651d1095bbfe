"""A test message to a receiver: is it reached, and what do messages look like there?"""

from __future__ import annotations

from dataclasses import replace

from clew.analysis.alerts.notifications import Notification
from clew.analysis.alerts.receivers import Receiver
from clew.analysis.alerts.states import Transition
from clew.analysis.alerts.verdicts import alert_id
from clew.delivery.messages import Message
from clew.delivery.senders import Sender

RULE = "test of a receiver"
INCIDENTS = ("pagerduty", "alertmanager")  # what keeps an alert until it is told of the end


def send_test(sender: Sender, receiver: Receiver, name: str, author: str, at: float) -> None:
    """Send a message that says it is a test, at a time in seconds since 1970; to what keeps alerts,
    its end too. Raises DeliveryError."""
    by = f" by {author}" if author else ""
    notification = Notification(
        alert=alert_id(RULE, {"receiver": name}),
        episode=1,
        transition=Transition.FIRED,
        at=at,
        firing_since=at,
        rule=RULE,
        severity="info",
        labels={"receiver": name},
        headline=f"a test of the receiver {name}{by}: nothing is wrong",
    )
    notifications = [notification]
    if receiver.kind in INCIDENTS:
        notifications.append(replace(notification, transition=Transition.RESOLVED))
    for part in notifications:
        sender.send(receiver, Message(part.key(name), name, (part,)))
