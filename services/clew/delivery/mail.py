"""Messages as mails, over SMTP."""

from __future__ import annotations

import smtplib
import ssl
from email.message import EmailMessage
from urllib.parse import urlsplit

from clew.analysis.alerts.receivers import Email
from clew.delivery.addresses import Networks
from clew.delivery.connections import Deadline, Dialer
from clew.delivery.errors import DeliveryError
from clew.delivery.messages import Message

TOTAL_SECONDS = 30.0  # for the whole conversation


def send_mail(
    receiver: Email, message: Message, text: str, password: str | None, networks: Networks
) -> None:
    """Send a mail. The Message-ID is made of the message's key, so that a second copy of a mail can
    be recognised. Raises DeliveryError."""
    parts = urlsplit(receiver.smtp)
    host, is_secure = parts.hostname or "", parts.scheme == "smtps"
    port = parts.port or (smtplib.SMTP_SSL_PORT if is_secure else smtplib.SMTP_PORT)
    context = ssl.create_default_context()
    tls = context if is_secure else None  # from the first byte
    try:
        with (
            Deadline(TOTAL_SECONDS) as deadline,
            _Smtp(host, port, Dialer(networks, deadline, tls)) as server,
        ):
            server.ehlo_or_helo_if_needed()
            if not is_secure and server.has_extn("starttls"):
                server.starttls(context=context)
            if receiver.user is not None and password is not None:
                server.login(receiver.user, password)
            server.send_message(_mail(receiver, message, text))
    except (OSError, smtplib.SMTPException, ValueError) as error:
        raise DeliveryError(f"{host}: {error}") from error


def _mail(receiver: Email, message: Message, text: str) -> EmailMessage:
    mail = EmailMessage()
    mail["From"] = receiver.sender
    mail["To"] = ", ".join(receiver.to)
    mail["Subject"] = _one_line(message.title)[:200]
    mail["Message-ID"] = f"<{message.key}@{receiver.sender.rpartition('@')[2]}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Clew-Key"] = message.key
    mail.set_content(text)
    return mail


def _one_line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


class _Smtp(smtplib.SMTP):
    def __init__(self, host: str, port: int, dialer: Dialer) -> None:
        self._dialer = dialer
        super().__init__(host, port)

    def connect(
        self, host: str = "localhost", port: int = 0, source_address: object = None
    ) -> tuple[int, bytes]:
        """Called by the constructor."""
        self.sock = self._dialer.connect(host, port)
        self.file = None
        return self.getreply()
