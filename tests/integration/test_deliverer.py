"""The deliverer over a real outbox: at least once, in order, and few messages after an outage."""

from __future__ import annotations

import json
import math
import socket
from typing import Any

import pytest

from clew.analysis.alerts.outbox import Outbox, OutboxEntry
from clew.analysis.alerts.receivers import Receiver
from clew.analysis.alerts.states import Transition
from clew.analysis.traces.settling import settler_statements
from clew.delivery.deliverer import CAUSE_PATIENCE, GIVE_UP_AFTER, OLD_AFTER, Causes, Deliverer
from clew.delivery.senders import Sender
from clew.storage import Store
from support.loading import Running, rows
from support.receivers import LOOPBACK, Sink, notification, sink
from support.servers import free_port

BEGAN = 1_795_000_000.0


class Desk:
    """An outbox, a deliverer with a clock of its own, and a receiver `oncall` at a port."""

    def __init__(self, store: Store, port: int, **fields: Any) -> None:
        self.now = BEGAN
        self.receivers = {
            "oncall": Receiver.model_validate(
                {"webhook": {"url": f"http://127.0.0.1:{port}/"}} | fields
            )
        }
        self.outbox = Outbox(settler_statements(store))
        self.start()

    def start(self) -> None:
        """A deliverer that knows nothing, as after a restart."""
        self.deliverer = Deliverer(
            self.outbox, lambda: self.receivers, Sender(LOOPBACK), lambda: self.now
        )

    def diagnose(self, causes: Causes) -> None:
        """A deliverer that asks for causes."""
        self.deliverer = Deliverer(
            self.outbox, lambda: self.receivers, Sender(LOOPBACK), lambda: self.now, causes
        )

    def add(self, number: int, receiver: str = "oncall", **changes: Any) -> OutboxEntry:
        entry = OutboxEntry(
            receiver,
            notification(alert=f"{number:016x}", headline=f"alert {number}", **changes),
            self.now + number / 1000,
        )
        self.outbox.put([entry])
        return entry

    def deliver(self) -> float:
        return self.deliverer.deliver(Running())


class Sought:
    """The cause of one alert, looked for until it is found."""

    def __init__(self, alert: str) -> None:
        self.alert = alert
        self.text = ""

    def expects(self, alert: str, episode: int) -> bool:
        return alert == self.alert and not self.text

    def sentences(self) -> dict[tuple[str, int], dict[str, str]]:
        texts = {"cause": self.text, "impact": "value lost 867.00"}
        return {(self.alert, 3): texts} if self.text else {}


def bodies(receiver: Sink) -> list[dict[str, Any]]:
    return [json.loads(body) for _, body in receiver.requests]


def headlines(body: dict[str, Any]) -> list[str]:
    return [alert["annotations"]["summary"] for alert in body["alerts"]]


def states(store: Store) -> dict[str, int]:
    query = "SELECT State, count() AS n FROM otel.clew_outbox FINAL GROUP BY 1"
    return {row["State"]: row["n"] for row in rows(store, query)}


def test_a_message_carries_the_cause_and_waits_for_it_only_a_while(store: Store) -> None:
    with sink() as target:
        desk = Desk(store, target.port)
        sought = Sought(f"{1:016x}")
        desk.diagnose(sought)
        desk.add(1)
        assert 0 < desk.deliver() <= CAUSE_PATIENCE + 0.001
        assert bodies(target) == []
        sought.text = "payments waits for bank.example"
        assert desk.deliver() == math.inf
        (body,) = bodies(target)
        assert body["alerts"][0]["annotations"]["cause"] == sought.text
        assert body["text"].startswith(f"cause: {sought.text}\nimpact: value lost 867.00\n")
        desk.diagnose(Sought(f"{2:016x}"))
        desk.add(2)
        assert desk.deliver() > 0
        desk.now += CAUSE_PATIENCE + 0.01
        assert desk.deliver() == math.inf
        assert "cause" not in bodies(target)[1]["alerts"][0]["annotations"]


def test_each_entry_is_sent_once_with_its_key(store: Store) -> None:
    with sink() as target:
        desk = Desk(store, target.port)
        entries = [desk.add(number) for number in range(3)]
        assert desk.deliver() == math.inf
        desk.outbox.put(entries)  # as a watcher does that is started again
        assert desk.deliver() == math.inf
        assert [body["key"] for body in bodies(target)] == [entry.key for entry in entries]
        assert [headlines(body) for body in bodies(target)] == [
            ["alert 0"], ["alert 1"], ["alert 2"],
        ]  # fmt: skip
        keys = [head.lower().split("idempotency-key: ")[1][:32] for head, _ in target.requests]
        assert keys == [entry.key for entry in entries]
    assert states(store) == {"sent": 3}


def test_after_six_hours_away_all_comes_in_one_summary(store: Store) -> None:
    port = free_port()
    desk = Desk(store, port)
    for hour in range(6):
        for number in range(5):
            desk.add(hour * 10 + number)
        assert desk.deliver() > 0
        desk.now += 3600
        desk.start()
    desk.add(99)
    with sink(port=port) as target:
        for _ in range(3):
            desk.deliver()
            desk.now += 700
        told = [headlines(body) for body in bodies(target)]
        summaries = [each for each in told if len(each) > 1]
        assert len(summaries) <= 2  # the one that was tried while it was away, and all others
        assert sorted(headline for each in told for headline in each) == sorted(
            [f"alert {hour * 10 + number}" for hour in range(6) for number in range(5)]
            + ["alert 99"]
        )
    assert states(store) == {"sent": 31}


def test_a_storm_is_one_message(store: Store) -> None:
    with sink() as target:
        desk = Desk(store, target.port, per_minute=5)
        for number in range(40):
            desk.add(number)
        desk.deliver()
        told = [headlines(body) for body in bodies(target)]
        assert len(told) <= 5
        assert sorted(headline for each in told for headline in each) == sorted(
            f"alert {number}" for number in range(40)
        )
        assert "too many" in next(
            body["title"] for body in bodies(target) if len(body["alerts"]) > 1
        )
    assert states(store) == {"sent": 40}


def test_a_receiver_that_is_away_is_left_alone_longer_each_time(store: Store) -> None:
    with sink(b"HTTP/1.1 503 Away\r\nRetry-After: 90\r\nContent-Length: 0\r\n\r\n") as target:
        desk = Desk(store, target.port)
        desk.add(1)
        assert desk.deliver() == pytest.approx(90)
        assert desk.deliver() == pytest.approx(90)
        assert len(target.requests) == 1
        waits = []
        for _ in range(4):
            desk.now += 601
            waits.append(desk.deliver())
        assert waits == pytest.approx([90, 90, 90, 160])
        desk.now = BEGAN + GIVE_UP_AFTER + 1
        desk.deliver()
        assert len({json.loads(body)["key"] for _, body in target.requests}) == 1
    assert states(store) == {"dropped": 1}


def test_one_receiver_that_is_away_holds_up_no_other(store: Store) -> None:
    with sink() as target:
        desk = Desk(store, free_port())
        desk.receivers["team"] = Receiver.model_validate({"webhook": {"url": target.url}})
        desk.add(1)
        desk.add(2, receiver="team")
        desk.add(3, receiver="nobody")
        desk.deliver()
        assert [headlines(body) for body in bodies(target)] == [["alert 2"]]
        desk.now += GIVE_UP_AFTER + 1
        desk.deliver()
    assert states(store) == {"sent": 1, "dropped": 2}


def test_an_answer_that_is_lost_repeats_the_same_key(store: Store) -> None:
    def take_and_hang_up(connection: socket.socket) -> None:
        connection.close()

    with sink(take_and_hang_up) as target:
        desk = Desk(store, target.port, per_minute=3)
        for number in range(9):
            desk.add(number)
        for _ in range(3):
            desk.deliver()
            desk.now += 60
            desk.start()
        keys = [body["key"] for body in bodies(target)]
        assert len(set(keys)) < len(keys)
    assert OLD_AFTER > 180  # so none was put into another summary


def test_a_receiver_can_leave_out_ends(store: Store) -> None:
    with sink() as target:
        desk = Desk(store, target.port, resolved=False)
        desk.add(1)
        desk.add(2, transition=Transition.RESOLVED)
        desk.deliver()
        assert [headlines(body) for body in bodies(target)] == [["alert 1"]]
    assert states(store) == {"sent": 1, "dropped": 1}
