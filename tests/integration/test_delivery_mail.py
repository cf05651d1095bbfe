"""Mails to a real SMTP server."""

from __future__ import annotations

import email.policy
import ssl
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from clew.analysis.alerts.receivers import Receiver
from clew.delivery import AddressRefused, DeliveryError, mail
from clew.delivery.addresses import Networks
from clew.delivery.senders import Sender
from support.certificates import make_certificate
from support.receivers import LOOPBACK, message, notification, sink
from support.servers import free_port

EMAIL = {"to": ["team@shop.example", "boss@shop.example"], "sender": "clew@shop.example"}


class Mailbox:
    """Takes every mail. `refuse`: what it answers instead."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.refuse = ""

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.refuse:
            return self.refuse
        parsed = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert isinstance(parsed, EmailMessage)
        self.mails.append(parsed)
        return "250 OK"


@pytest.fixture
def mailbox() -> Iterator[tuple[Mailbox, str]]:
    """A mailbox and its address."""
    box = Mailbox()
    controller = Controller(box, hostname="127.0.0.1", port=free_port())
    yield from serve(box, controller)


def serve(box: Mailbox, controller: Controller) -> Iterator[tuple[Mailbox, str]]:
    controller.start()
    try:
        yield box, f"smtp://127.0.0.1:{controller.port}"
    finally:
        controller.stop()


def send(smtp: str, networks: Networks = LOOPBACK, **fields: Any) -> None:
    receiver = Receiver.model_validate({"email": EMAIL | {"smtp": smtp} | fields})
    headline = "bank\nBcc: all@shop.example \u202e✕ slow"
    Sender(networks, {"CLEW_SECRET_MAIL": "word"}).send(
        receiver, message(notification(headline=headline))
    )


def test_a_mail_arrives(mailbox: tuple[Mailbox, str]) -> None:
    box, smtp = mailbox
    send(smtp)
    (received,) = box.mails
    assert received["To"] == "team@shop.example, boss@shop.example"
    assert received["Subject"] == "✕ bank Bcc: all@shop.example ✕ slow"
    assert received["Bcc"] is None
    assert received["X-Clew-Key"] == message().key
    assert message().key in received["Message-ID"]
    assert "expected: 0.3 s" in received.get_content()


def test_a_refusal_is_an_error(mailbox: tuple[Mailbox, str]) -> None:
    box, smtp = mailbox
    box.refuse = "451 later"
    with pytest.raises(DeliveryError, match="451"):
        send(smtp)


def test_the_server_has_to_be_allowed(mailbox: tuple[Mailbox, str]) -> None:
    box, smtp = mailbox
    with pytest.raises(AddressRefused, match="CLEW_ALERT_NETWORKS"):
        send(smtp, Networks())
    assert box.mails == []


def test_tls_and_a_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    logins: list[bytes] = []

    def authenticate(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> Any:
        logins.append(data.password)
        return AuthResult(success=data.password == b"word")

    box = Mailbox()
    controller = Controller(
        box,
        hostname="127.0.0.1",
        port=free_port(),
        tls_context=context,
        authenticator=authenticate,
    )
    for _, smtp in serve(box, controller):
        login = {"user": "clew", "password_env": "CLEW_SECRET_MAIL"}
        with pytest.raises(DeliveryError, match="certificate"):
            send(smtp, **login)
        assert logins == []
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
        send(smtp, **login)
    assert logins == [b"word"]
    assert len(box.mails) == 1


def test_a_server_that_says_nothing_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail, "TOTAL_SECONDS", 0.2)
    with sink() as target, pytest.raises(DeliveryError, match=r"no answer within 0\.2 s"):
        send(f"smtp://127.0.0.1:{target.port}")
