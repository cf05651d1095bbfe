"""Sends a message to a receiver, in the receiver's way."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from clew.analysis.alerts.receivers import Heartbeat, Receiver
from clew.delivery import bodies
from clew.delivery.addresses import Networks
from clew.delivery.errors import DeliveryError
from clew.delivery.mail import send_mail
from clew.delivery.messages import Message, fill
from clew.delivery.requests import post

JSON_HEADERS = {"Content-Type": "application/json", "User-Agent": "clew"}


@dataclass(frozen=True)
class Sender:
    """Sends messages. `secrets`: the variables that receivers may name; `now` gives the time that
    signatures carry, in seconds since 1970."""

    networks: Networks = field(default_factory=Networks)
    secrets: Mapping[str, str] = field(default_factory=lambda: os.environ)
    now: Callable[[], float] = time.time

    def send(self, receiver: Receiver, message: Message) -> None:
        """Deliver a message; returns once the receiver has taken it. Raises DeliveryError."""
        getattr(self, f"_send_{receiver.kind}")(receiver, message)

    def ping(self, heartbeat: Heartbeat, body: bytes) -> None:
        """Send a heartbeat. Raises DeliveryError."""
        url = heartbeat.url
        if heartbeat.url_env is not None:
            url = self._secret(heartbeat.url_env)
        assert url is not None
        self._post(url, body, {})

    def _send_webhook(self, receiver: Receiver, message: Message) -> None:
        webhook = receiver.webhook
        assert webhook is not None
        document = bodies.webhook(message) | {"text": self._text(receiver, message)}
        body = _encode(document)
        headers = {"Idempotency-Key": message.key}
        if webhook.secret_env is not None:
            headers["X-Clew-Signature"] = signature(
                self._secret(webhook.secret_env), int(self.now()), body
            )
        if webhook.authorization_env is not None:
            headers["Authorization"] = self._secret(webhook.authorization_env)
        self._post(webhook.url, body, headers)

    def _send_slack(self, receiver: Receiver, message: Message) -> None:
        assert receiver.slack is not None
        self._send_chat(receiver.slack.url_env, bodies.slack, receiver, message)

    def _send_teams(self, receiver: Receiver, message: Message) -> None:
        assert receiver.teams is not None
        self._send_chat(receiver.teams.url_env, bodies.teams, receiver, message)

    def _send_discord(self, receiver: Receiver, message: Message) -> None:
        assert receiver.discord is not None
        self._send_chat(receiver.discord.url_env, bodies.discord, receiver, message)

    def _send_chat(
        self,
        url_env: str,
        body: Callable[[Message, str], dict[str, Any]],
        receiver: Receiver,
        message: Message,
    ) -> None:
        document = body(message, self._text(receiver, message))
        self._post(self._secret(url_env), _encode(document), {"Idempotency-Key": message.key})

    def _send_email(self, receiver: Receiver, message: Message) -> None:
        email = receiver.email
        assert email is not None
        password = None if email.password_env is None else self._secret(email.password_env)
        send_mail(email, message, self._text(receiver, message), password, self.networks)

    def _send_pagerduty(self, receiver: Receiver, message: Message) -> None:
        assert receiver.pagerduty is not None
        key = self._secret(receiver.pagerduty.key_env)
        for notification in message.notifications:
            body = _encode(bodies.pagerduty(notification, key))
            self._post(receiver.pagerduty.url, body, {})

    def _send_alertmanager(self, receiver: Receiver, message: Message) -> None:
        alertmanager = receiver.alertmanager
        assert alertmanager is not None
        headers = {}
        if alertmanager.authorization_env is not None:
            headers["Authorization"] = self._secret(alertmanager.authorization_env)
        url = f"{alertmanager.url.rstrip('/')}/api/v2/alerts"
        self._post(url, _encode(bodies.alertmanager(message)), headers)

    def _send_apprise(self, receiver: Receiver, message: Message) -> None:
        assert receiver.apprise is not None
        try:
            import apprise
        except ImportError as error:
            raise DeliveryError("Apprise is not installed: pip install 'clew[apprise]'") from error
        target = apprise.Apprise()
        if not target.add(self._secret(receiver.apprise.url_env)):
            raise DeliveryError(f"{receiver.apprise.url_env} is not an address that Apprise knows")
        if not target.notify(title=message.title, body=self._text(receiver, message)):
            raise DeliveryError("Apprise could not deliver it: its log says why")

    def _text(self, receiver: Receiver, message: Message) -> str:
        if receiver.template is None:
            return message.text
        try:
            return fill(receiver.template, message)
        except ValueError as error:
            return f"{message.text}\n(the template cannot be used: {error})"

    def _post(self, url: str, body: bytes, headers: Mapping[str, str]) -> None:
        post(url, body, {**JSON_HEADERS, **headers}, self.networks)

    def _secret(self, variable: str) -> str:
        secret = self.secrets.get(variable, "")
        if not secret:
            raise DeliveryError(f"the variable {variable} is not set")
        return secret


def _encode(document: Any) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode(
        "utf-8", "replace"
    )


def signature(secret: str, at: int, body: bytes) -> str:
    """The value of X-Clew-Signature: the time in seconds since 1970, and the HMAC-SHA256 of
    `<time>.<body>` in hexadecimal."""
    digest = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"
