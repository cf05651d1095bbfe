"""A dead man's ping: regular, silent when alerts are not judged, and to allowed addresses alone."""

from __future__ import annotations

import json

import pytest

from clew.analysis.alerts.receivers import Heartbeat
from clew.analysis.alerts.rules import AlertsFile
from clew.delivery.addresses import Networks
from clew.delivery.heartbeat import HeartbeatSender
from clew.delivery.senders import Sender
from support.receivers import LOOPBACK, sink


class Clock:
    now = 1000.0
    lag = 40.0


def beating(clock: Clock, heartbeat: Heartbeat | None, sender: Sender) -> HeartbeatSender:
    return HeartbeatSender(lambda: heartbeat, lambda: clock.lag, sender, lambda: clock.now)


def test_it_beats_while_alerts_are_judged() -> None:
    clock = Clock()
    with sink() as receiver:
        heart = beating(clock, Heartbeat(url=receiver.url), Sender(LOOPBACK))
        assert heart.beat()
        assert not heart.beat()  # not due
        clock.now += 61
        clock.lag = 200.0
        assert not heart.beat()
        clock.lag = 50.0
        assert heart.beat()
        ((head, body), _) = receiver.requests
    assert head.startswith("POST /alerts ")
    assert json.loads(body) == {"source": "clew", "alerts_judged_ago_s": 40}


def test_an_address_may_be_a_secret_and_is_checked(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    with sink() as receiver:
        secret = Heartbeat(url_env="CLEW_SECRET_PING")
        sender = Sender(LOOPBACK, {"CLEW_SECRET_PING": receiver.url})
        assert beating(clock, secret, sender).beat()
        refused = beating(clock, Heartbeat(url=receiver.url), Sender(Networks()))
        assert not refused.beat()
        assert len(receiver.requests) == 1
    assert "the heartbeat is not taken" in caplog.text
    assert not beating(clock, None, Sender(LOOPBACK)).beat()


@pytest.mark.parametrize(
    "heartbeat", [{}, {"url": "https://a/", "every": "1s"}, {"url": "ftp://a"}]
)
def test_what_makes_no_sense_is_refused(heartbeat: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="write"):
        AlertsFile.model_validate({"heartbeat": heartbeat})
