"""Delivery: tells people of alerts, at least once, and says by a key what is told twice.

    addresses   which addresses a receiver may have
    connections connections to checked addresses, cut when their time is over
    requests    one HTTP request to a receiver
    messages    what a message says: one notification, or a group, or a summary
    bodies      the bodies that webhooks, chats, PagerDuty and Alertmanager take
    mail        messages as mails
    senders     sends a message to a receiver, in its way
    trial       a test message
    deliverer   the thread that sends what is in the outbox

Receivers are named by the operator, but answer as they like, and the names of their hosts resolve
to what they like: each request goes to an address that was checked, follows no redirect, and ends
after a time.

Errors:

    DeliveryError           a message that was not taken; it is sent again later
    └── AddressRefused      a receiver whose address clew does not connect to
"""

from clew.delivery.errors import AddressRefused, DeliveryError

__all__ = ["AddressRefused", "DeliveryError"]
