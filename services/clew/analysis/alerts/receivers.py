"""Who can be told of alerts, as a file of rules names them.

Secrets never stand in the file: a field whose name ends in `_env` names a variable of the
environment, which begins with CLEW_SECRET_.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from clew.analysis.alerts.quantities import Seconds
from clew.analysis.documents import Fields, OneOrMore, Text


def _form(pattern: str, detail: str) -> tuple[Any, Any]:
    """Annotations of a text of a form; `detail` says what to write."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text, re.ASCII):
            raise ValueError(f"write {detail}")
        return text

    schema: dict[str, Any] = {"pattern": f"^{pattern}$"}
    return Field(max_length=2000, json_schema_extra=schema), AfterValidator(check)


SecretName = Annotated[
    str,
    *_form(r"CLEW_SECRET_[A-Z0-9_]+", "the name of a variable that begins with CLEW_SECRET_"),
]
HttpUrl = Annotated[
    str, *_form(r"https?://[^\s@]+", "an address that begins with https:// or http://")
]
SmtpUrl = Annotated[
    str,
    *_form(r"smtps?://[^\s@]+", "smtp://host:port or smtps://host:port, without a password"),
]
Address = Annotated[
    str, *_form(r"[^\s@<>,;]+@[^\s@<>,;]+", "a mail address such as team@shop.example")
]


class Webhook(Fields):
    """A web address that takes Alertmanager's JSON."""

    url: HttpUrl
    """The address."""
    secret_env: SecretName | None = None
    """The variable with the secret that signs each request, in X-Clew-Signature."""
    authorization_env: SecretName | None = None
    """The variable with the value of the header Authorization."""


class Heartbeat(Fields):
    """An address that is told again and again that alerts are judged: a dead man's switch."""

    url: HttpUrl | None = None
    """The address, which gets POST requests."""
    url_env: SecretName | None = None
    """The variable with the address, where that is a secret."""
    every: Seconds = 60.0
    """How often."""

    @model_validator(mode="after")
    def _has_one_address(self) -> Heartbeat:
        if (self.url is None) == (self.url_env is None):
            raise ValueError("write url or url_env")
        if self.every < 10:
            raise ValueError("write every: 10s or more")
        return self


class ChatWebhook(Fields):
    """An incoming webhook of a chat: its address is a secret."""

    url_env: SecretName
    """The variable with the address."""


class Email(Fields):
    """Mails."""

    to: Annotated[tuple[Address, ...], OneOrMore(), Field(min_length=1, max_length=50)]
    """Who gets them."""
    sender: Address = "clew@localhost"
    """Whom they come from."""
    smtp: SmtpUrl
    """The server: smtp://host:port (STARTTLS where it offers it) or smtps://host:port."""
    user: Text | None = None
    """The user to log in as."""
    password_env: SecretName | None = None
    """The variable with the password."""

    @model_validator(mode="after")
    def _has_user_and_password(self) -> Email:
        if (self.user is None) != (self.password_env is None):
            raise ValueError("write both user and password_env, or neither")
        return self


class PagerDuty(Fields):
    """A service of PagerDuty, through its Events API v2."""

    key_env: SecretName
    """The variable with the integration key."""
    url: HttpUrl = "https://events.pagerduty.com/v2/enqueue"
    """The address of the API; another region has its own."""


class Alertmanager(Fields):
    """A Prometheus Alertmanager, through its API v2."""

    url: HttpUrl
    """Its address, without /api/v2."""
    authorization_env: SecretName | None = None
    """The variable with the value of the header Authorization."""


class Apprise(Fields):
    """Anything that Apprise delivers to; needs the extra `apprise`."""

    url_env: SecretName
    """The variable with Apprise's address."""


class Receiver(Fields):
    """Somebody who is told, in one way."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    webhook: Webhook | None = None
    """A web address."""
    slack: ChatWebhook | None = None
    """A channel of Slack."""
    teams: ChatWebhook | None = None
    """A channel of Microsoft Teams."""
    discord: ChatWebhook | None = None
    """A channel of Discord."""
    email: Email | None = None
    """Mails."""
    pagerduty: PagerDuty | None = None
    """PagerDuty."""
    alertmanager: Alertmanager | None = None
    """A Prometheus Alertmanager."""
    apprise: Apprise | None = None
    """Apprise."""
    template: Annotated[str, Field(max_length=4000)] | None = None
    """The text of messages, with `{headline}` and other fields in it (clew.delivery.messages)."""
    resolved: bool = True
    """Whether to tell when an alert is over."""
    per_minute: Annotated[int, Field(ge=1, le=600)] = 20
    """At most so many messages a minute; more become one summary."""

    @property
    def kind(self) -> str:
        """The name of the field that says how."""
        return next(name for name in KINDS if getattr(self, name) is not None)

    @model_validator(mode="after")
    def _has_one_kind(self) -> Receiver:
        if sum(getattr(self, name) is not None for name in KINDS) != 1:
            raise ValueError(f"a receiver has one of {', '.join(KINDS)}")
        return self


KINDS = ("webhook", "slack", "teams", "discord", "email", "pagerduty", "alertmanager", "apprise")
