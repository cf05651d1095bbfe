"""A test of a receiver of alerts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import Request

from clew.analysis.alerts.receivers import Receiver
from clew.api.access import requires
from clew.api.alert_rules import rulebook_of
from clew.api.models import notifications as models
from clew.api.problems import Problem
from clew.api.reference import routes

router = routes("receivers")

# Sends a test message to a receiver with a name, from somebody; the error, or "".
SendTest = Callable[[Receiver, str, str], str]


@router.post("/{receiver_name:text}/test", response_model=models.ReceiverTest)
@requires("operate")
def test_receiver(request: Request, receiver_name: str) -> dict[str, Any]:
    """Sends a test message to a receiver, now, and says whether it was taken. It counts for no
    alert."""
    receivers = rulebook_of(request).current().all.receivers
    if receiver_name not in receivers:
        known = ", ".join(sorted(receivers)) or "there is none; name it in the file of --alerts"
        raise Problem(404, f"{receiver_name!r} is not a receiver: {known}")
    send: SendTest | None = request.app.state.send_test
    if send is None:
        raise Problem(503, "this process sends no messages")
    receiver = receivers[receiver_name]
    error = send(receiver, receiver_name, request.state.principal.name)
    return {
        "receiver": receiver_name,
        "kind": receiver.kind,
        "delivered": not error,
        "error": error,
    }
