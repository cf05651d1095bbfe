"""Messages to receivers: what they say, and what becomes of receivers that misbehave."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import json
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from clew.analysis.alerts.receivers import KINDS, Receiver
from clew.analysis.alerts.states import Transition
from clew.delivery import AddressRefused, DeliveryError, bodies
from clew.delivery.addresses import Networks
from clew.delivery.messages import fields, fill
from clew.delivery.requests import MAX_ANSWER, post
from clew.delivery.senders import Sender
from support.receivers import LOOPBACK, OK, message, notification, sink

HOSTILE = 'a<!channel>@everyone "\\ [x](javascript:alert(1)) *b* `c` </script>\u202e\0'


def receiver(**kind: object) -> Receiver:
    return Receiver.model_validate(kind)


def sent(kind: str, **changes: object) -> dict[str, Any]:
    """The body that a receiver got, whose address is a secret."""
    with sink() as target:
        sender = Sender(LOOPBACK, {"CLEW_SECRET_URL": target.url})
        sender.send(
            receiver(**{kind: {"url_env": "CLEW_SECRET_URL"}}), message(notification(**changes))
        )
        (request,) = target.requests
    document: dict[str, Any] = json.loads(request[1])
    return document


class TestWebhook:
    def test_it_is_alertmanagers_and_signed(self) -> None:
        with sink() as target:
            sender = Sender(LOOPBACK, {"CLEW_SECRET_KEY": "hush"}, now=lambda: 1_795_000_400.9)
            webhook = {"url": target.url, "secret_env": "CLEW_SECRET_KEY"}
            sender.send(receiver(webhook=webhook), message())
            ((head, body),) = target.requests
        document = json.loads(body)
        assert document["version"] == "4"
        assert document["status"] == "firing"
        assert document["key"] == message().key
        (alert,) = document["alerts"]
        assert alert["labels"] == {
            "alertname": "payments slow",
            "severity": "page",
            "service": "payments",
            "operation": "POST /charges",
        }
        assert alert["startsAt"] == "2026-11-18T11:06:40Z"
        digest = hmac.new(b"hush", b"1795000400." + body, hashlib.sha256).hexdigest()
        assert f"X-Clew-Signature: t=1795000400,v1={digest}" in head
        assert f"Idempotency-Key: {message().key}" in head
        assert head.startswith("POST /alerts HTTP/1.1\r\nHost: 127.0.0.1:")

    def test_an_alert_that_is_over_says_when(self) -> None:
        resolved = message(notification(transition=Transition.RESOLVED, at=1_795_000_900.0))
        document = bodies.webhook(resolved)
        assert document["status"] == document["alerts"][0]["status"] == "resolved"
        assert document["alerts"][0]["endsAt"] == "2026-11-18T11:21:40Z"

    def test_labels_that_all_alerts_have(self) -> None:
        group = message(notification(), notification(alert="b", labels={"service": "payments"}))
        assert bodies.webhook(group)["commonLabels"] == {
            "alertname": "payments slow",
            "severity": "page",
            "service": "payments",
        }


class TestChats:
    def test_slack_shows_plain_text(self) -> None:
        document = sent("slack", headline=HOSTILE)
        assert {block["text"]["type"] for block in document["blocks"]} == {"plain_text"}
        assert "<!channel>" not in document["text"]

    def test_teams_and_discord_show_no_markup(self) -> None:
        card = sent("teams", headline=HOSTILE)["attachments"][0]["content"]
        assert "[x](" not in card["body"][0]["text"]
        discord = sent("discord", headline=HOSTILE)
        assert "[x](" not in discord["embeds"][0]["title"]
        assert discord["allowed_mentions"] == {"parse": []}

    def test_only_web_addresses_are_links(self) -> None:
        assert "url" not in sent("discord", url="javascript:alert(1)")["embeds"][0]


class TestOthers:
    def test_pagerduty_has_an_incident_for_each_episode(self) -> None:
        with sink() as target:
            pagerduty = {"key_env": "CLEW_SECRET_KEY", "url": target.url}
            sender = Sender(LOOPBACK, {"CLEW_SECRET_KEY": "routing"})
            resolved = notification(transition=Transition.RESOLVED)
            sender.send(receiver(pagerduty=pagerduty), message(notification(), resolved))
            first, second = (json.loads(body) for _, body in target.requests)
        assert (first["event_action"], second["event_action"]) == ("trigger", "resolve")
        assert first["dedup_key"] == second["dedup_key"] == "c0ffee0123456789-3"
        assert first["payload"]["severity"] == "critical"

    def test_alertmanager_gets_names_without_dots(self) -> None:
        with sink() as target:
            url = target.url.removesuffix("/alerts")
            sender = Sender(LOOPBACK, {})
            alerts = message(notification(labels={"k8s.pod.name": "web-1"}))
            sender.send(receiver(alertmanager={"url": url}), alerts)
            ((head, body),) = target.requests
        assert head.startswith("POST /api/v2/alerts ")
        assert json.loads(body)[0]["labels"]["k8s_pod_name"] == "web-1"

    @pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
    def test_apprise_delivers(self) -> None:
        with sink() as target:
            url = f"json://127.0.0.1:{target.port}/alerts"
            sender = Sender(LOOPBACK, {"CLEW_SECRET_URL": url})
            sender.send(receiver(apprise={"url_env": "CLEW_SECRET_URL"}), message())
            ((_, body),) = target.requests
        assert json.loads(body)["title"] == message().title

    def test_a_secret_that_is_not_set(self) -> None:
        with pytest.raises(DeliveryError, match="CLEW_SECRET_URL is not set"):
            Sender(LOOPBACK, {}).send(receiver(slack={"url_env": "CLEW_SECRET_URL"}), message())

    def test_every_kind_can_be_sent(self) -> None:
        assert all(hasattr(Sender, f"_send_{kind}") for kind in KINDS)


class TestTexts:
    def test_a_summary_lists_what_is_in_it(self) -> None:
        group = message(*(notification(alert=str(n)) for n in range(30)), reason="while away")
        assert group.title == "✕ 30 changes of alerts: while away"
        assert len(group.text.splitlines()) == 21
        assert group.text.endswith("… and 10 more")

    def test_a_template_is_filled_in(self) -> None:
        template = "{rule} {{x}} {label_service}: {value_expected} {status}"
        assert fill(template, message()) == "payments slow {x} payments: 0.3 s firing"

    @pytest.mark.parametrize(
        "template",
        [
            "{rule.__class__}",
            "{rule[0]}",
            "{rule!r}",
            "{rule:>1000000000}",
            "{}",
            "{0}",
            "{",
            "{x}",
        ],
    )
    def test_a_template_reaches_nothing_but_its_fields(self, template: str) -> None:
        with pytest.raises(ValueError, match=r"."):
            fill(template, message())

    def test_a_template_that_cannot_be_used_costs_no_message(self) -> None:
        with sink() as target:
            webhook = receiver(webhook={"url": target.url}, template="{nothing}")
            Sender(LOOPBACK, {}).send(webhook, message())
            text = json.loads(target.requests[0][1])["text"]
        assert text.startswith("value: 1.2 s")
        assert "the template cannot be used: {nothing} is not known" in text

    def test_fields_are_texts(self) -> None:
        assert {type(value) for value in fields(message()).values()} == {str}


def drip(connection: socket.socket) -> None:
    """Send a byte now and then, for ever."""
    stop = threading.Event()
    with suppress(OSError):
        connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
        while True:
            connection.sendall(b"x")
            stop.wait(0.02)


class TestMisbehaviour:
    @pytest.mark.parametrize(
        ("answer", "detail"),
        [
            (b"HTTP/1.1 500 No\r\nContent-Length: 4\r\n\r\noops", "answered 500: oops"),
            (b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", "answered 404$"),
            (
                b"HTTP/1.1 302 No\r\nLocation: http://169.254.169.254/\r\n\r\n",
                "answered 302: redirects are not followed",
            ),
            (b"", "closed connection"),
            (b"garbage\r\n\r\n", "garbage"),
        ],
    )
    def test_what_is_no_success_is_an_error(self, answer: bytes, detail: str) -> None:
        with sink(answer) as target, pytest.raises(DeliveryError, match=detail):
            post(target.url, b"{}", {}, LOOPBACK)

    def test_a_redirect_is_not_followed(self) -> None:
        with sink() as second:
            answer = f"HTTP/1.1 307 No\r\nLocation: {second.url}\r\n\r\n".encode()
            with sink(answer) as first, pytest.raises(DeliveryError):
                post(first.url, b"{}", {}, LOOPBACK)
            assert second.requests == []

    @pytest.mark.parametrize("answer", [drip, lambda connection: connection.recv(1)])
    def test_a_slow_receiver_is_cut(self, answer: Callable[[socket.socket], None]) -> None:
        with sink(answer) as target, pytest.raises(DeliveryError, match=r"no answer within 0\.2 s"):
            post(target.url, b"{}", {}, LOOPBACK, seconds=0.2)

    def test_a_large_answer_is_not_read_to_its_end(self) -> None:
        def flood(connection: socket.socket) -> None:
            connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
            for _ in range(100):
                connection.sendall(b"x" * 65536)

        with sink(flood) as target:
            assert len(post(target.url, b"{}", {}, LOOPBACK).body) == MAX_ANSWER

    def test_it_says_when_to_come_back(self) -> None:
        answer = b"HTTP/1.1 429 No\r\nRetry-After: 30\r\nContent-Length: 0\r\n\r\n"
        with sink(answer) as target, pytest.raises(DeliveryError) as caught:
            post(target.url, b"{}", {}, LOOPBACK)
        assert caught.value.retry_after == 30.0

    def test_nobody_listens(self) -> None:
        with sink() as target:
            url = target.url
        with pytest.raises(DeliveryError, match="refused"):
            post(url, b"{}", {}, LOOPBACK)


REFUSED = """
127.0.0.1 127.8.8.8 0.0.0.0 0.1.2.3 10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 169.254.169.254
100.64.0.1 100.127.255.255 192.0.0.1 192.0.2.1 192.88.99.1 198.18.0.1 198.19.255.255 198.51.100.1
203.0.113.1 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255
::1 :: fe80::1 fc00::1 fdff::1 ff02::1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254
64:ff9b::7f00:1 64:ff9b::a9fe:a9fe 64:ff9b:1::1 2002:7f00:1:: 2002:a00:1:: 2001:db8::1 ::127.0.0.1
2001::1 100::1 fec0::1
"""
ALLOWED = (
    "1.1.1.1 93.184.216.34 2606:4700::1111 100.128.0.1 172.32.0.1 ::ffff:1.1.1.1 2002:101:101::"
)


class TestAddresses:
    @pytest.mark.parametrize("address", REFUSED.split())
    def test_addresses_that_are_not_of_the_internet(self, address: str) -> None:
        assert not Networks().allows(ipaddress.ip_address(address))

    @pytest.mark.parametrize("address", ALLOWED.split())
    def test_addresses_of_the_internet(self, address: str) -> None:
        assert Networks().allows(ipaddress.ip_address(address))

    def test_networks_that_the_operator_names(self) -> None:
        networks = Networks.parse(["10.1.0.0/16", "fd00::/8"])
        for text, allowed in [("10.1.2.3", True), ("::ffff:10.1.2.3", True), ("10.2.0.1", False)]:
            assert networks.allows(ipaddress.ip_address(text)) == allowed
        assert networks.allows(ipaddress.ip_address("fd12::1"))

    @pytest.mark.parametrize(
        "host", ["127.0.0.1", "localhost", "0x7f.1", "2130706433", "[::1]", "[::ffff:7f00:1]", "0"]
    )
    def test_no_spelling_of_this_machine_gets_a_request(self, host: str) -> None:
        with sink() as target, pytest.raises(AddressRefused, match="CLEW_ALERT_NETWORKS"):
            post(f"http://{host}:{target.port}/", b"{}", {}, Networks())
        assert target.requests == []

    def test_one_refused_address_beside_others_refuses_the_host(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def resolve(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
            kind = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
            return [(*kind, (text, port)) for text in ("1.1.1.1", "127.0.0.1")]

        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        with pytest.raises(AddressRefused, match=r"shop\.example is 127\.0\.0\.1"):
            post("http://shop.example/", b"{}", {}, Networks())

    def test_the_name_is_resolved_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A name that resolves to an allowed address first and to another one later."""
        answers = [["127.0.0.1"], ["10.0.0.1"]]

        def resolve(host: str, port: int, *_: object, **__: object) -> list[tuple[object, ...]]:
            kind = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
            texts = answers.pop(0) if not host[0].isdigit() else [host]
            return [(*kind, (text, port)) for text in texts]

        with sink(OK) as target:
            monkeypatch.setattr(socket, "getaddrinfo", resolve)
            networks = Networks.parse(["127.0.0.1/32"])
            assert post(f"http://shop.example:{target.port}/", b"{}", {}, networks).status == 200
        assert answers == [["10.0.0.1"]]
