"""The JSON that webhooks, chats, PagerDuty and Alertmanager take."""

from __future__ import annotations

from typing import Any

from clew.analysis.alerts.notifications import Notification
from clew.delivery.messages import Message, iso_time

PAGERDUTY_SEVERITY = {"page": "critical", "ticket": "warning", "info": "info"}
NO_END = "0001-01-01T00:00:00Z"  # what Alertmanager says of alerts that still fire
COLORS = {"page": 0xB3261E, "ticket": 0x8A5300, "info": 0x525C6B}
RESOLVED_COLOR = 0x1B6E3C


def webhook(message: Message) -> dict[str, Any]:
    """Version 4 of the body that Prometheus' Alertmanager sends, with `key`, the idempotency key,
    and `title` and `text` besides."""
    alerts = [_alert(item) for item in message.notifications]
    labels = [alert["labels"] for alert in alerts]
    common = dict(set.intersection(*(set(each_labels.items()) for each_labels in labels)))
    return {
        "version": "4",
        "groupKey": message.notifications[0].alert if len(alerts) == 1 else message.key,
        "truncatedAlerts": 0,
        "status": "resolved" if message.is_resolved else "firing",
        "receiver": message.receiver,
        "groupLabels": {"alertname": message.notifications[0].rule},
        "commonLabels": common,
        "commonAnnotations": {},
        "externalURL": message.url,
        "alerts": alerts,
        "key": message.key,
        "title": message.title,
        "text": message.text,
    }


def _alert(notification: Notification) -> dict[str, Any]:
    return {
        "status": "resolved" if notification.is_resolved else "firing",
        "labels": _labels(notification),
        "annotations": _annotations(notification),
        "startsAt": iso_time(notification.firing_since),
        "endsAt": iso_time(notification.at) if notification.is_resolved else NO_END,
        "generatorURL": notification.url,
        "fingerprint": notification.alert,
    }


def _labels(notification: Notification) -> dict[str, str]:
    labels = {name: value for name, value in notification.labels.items() if value}
    return labels | {"alertname": notification.rule, "severity": notification.severity}


def _annotations(notification: Notification) -> dict[str, str]:
    annotations = {"summary": notification.headline, **notification.explanation}
    if notification.examples:
        annotations["traces"] = " ".join(notification.examples)
    if notification.runbook:
        annotations["runbook_url"] = notification.runbook
    return annotations


def alertmanager(message: Message) -> list[dict[str, Any]]:
    """The body of Alertmanager's POST /api/v2/alerts. Label names there have no dots."""
    return [
        {
            "labels": {name.replace(".", "_"): text for name, text in _labels(item).items()},
            "annotations": {
                name.replace(".", "_").replace(" ", "_"): text
                for name, text in _annotations(item).items()
            },
            "startsAt": iso_time(item.firing_since),
            "generatorURL": item.url,
            **({"endsAt": iso_time(item.at)} if item.is_resolved else {}),
        }
        for item in message.notifications
    ]


def slack(message: Message, text: str) -> dict[str, Any]:
    """A message of a Slack webhook. Its text is plain: a span's name cannot mention people."""
    return {
        "text": _escaped(message.title),
        "blocks": [
            {
                "type": "header",
                "text": {"type": "plain_text", "text": message.title[:150], "emoji": False},
            },
            {
                "type": "section",
                "text": {"type": "plain_text", "text": text[:3000] or "–", "emoji": False},
            },
        ],
    }


def _escaped(text: str) -> str:
    """Slack's control characters, as it wants them escaped."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def teams(message: Message, text: str) -> dict[str, Any]:
    """A message of a Microsoft Teams webhook, as an adaptive card."""
    blocks: list[dict[str, Any]] = [
        {"type": "TextBlock", "text": _unmarked(message.title), "weight": "Bolder", "wrap": True},
        {"type": "TextBlock", "text": _unmarked(text).replace("\n", "\n\n"), "wrap": True},
    ]
    card: dict[str, Any] = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": blocks,
    }
    if message.url.startswith(("http://", "https://")):
        card["actions"] = [{"type": "Action.OpenUrl", "title": "Open", "url": message.url}]
    kind = "application/vnd.microsoft.card.adaptive"
    return {"type": "message", "attachments": [{"contentType": kind, "content": card}]}


def discord(message: Message, text: str) -> dict[str, Any]:
    """A message of a Discord webhook; it mentions nobody."""
    color = RESOLVED_COLOR if message.is_resolved else COLORS[message.severity]
    embed: dict[str, Any] = {
        "title": _unmarked(message.title)[:256],
        "description": _unmarked(text)[:4096],
        "color": color,
    }
    if message.url.startswith(("http://", "https://")):
        embed["url"] = message.url
    return {"embeds": [embed], "allowed_mentions": {"parse": []}}


def _unmarked(text: str) -> str:
    """A text in which Markdown's characters stand for themselves."""
    return "".join(f"\\{letter}" if letter in "\\`*_~[]()<>|#@" else letter for letter in text)


def pagerduty(notification: Notification, routing_key: str) -> dict[str, Any]:
    """An event of PagerDuty's Events API v2. The alert and its episode are one incident."""
    labels = _labels(notification)
    event: dict[str, Any] = {
        "routing_key": routing_key,
        "event_action": "resolve" if notification.is_resolved else "trigger",
        "dedup_key": f"{notification.alert}-{notification.episode}",
    }
    if notification.is_resolved:
        return event
    return event | {
        "client": "clew",
        "client_url": notification.url,
        "payload": {
            "summary": notification.headline[:1024],
            "source": labels.get("service") or labels.get("transaction") or notification.rule,
            "severity": PAGERDUTY_SEVERITY[notification.severity],
            "timestamp": iso_time(notification.firing_since),
            "component": labels.get("operation", ""),
            "group": labels.get("transaction", ""),
            "class": notification.rule,
            "custom_details": {"labels": labels, **_annotations(notification)},
        },
    }
