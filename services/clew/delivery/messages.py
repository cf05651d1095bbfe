"""What a message says: one notification, a group of them, or a summary of many."""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from clew.analysis.alerts.notifications import Notification

MAX_LISTED = 20  # notifications that a text lists one by one
MAX_TEXT = 3000  # characters of a text: Slack takes 3,000 in a block, Discord 4,096
MARKS = {"page": "✕", "ticket": "▲", "info": "●"}


@dataclass(frozen=True)
class Message:
    """What goes to a receiver at once. `key`: the idempotency key, 32 hex digits; `reason`: why
    several notifications are one message, '' for a single one and for a group with one cause."""

    key: str
    receiver: str
    notifications: tuple[Notification, ...]
    reason: str = ""

    @property
    def is_resolved(self) -> bool:
        """Whether everything in it is over."""
        return all(notification.is_resolved for notification in self.notifications)

    @property
    def severity(self) -> str:
        """The highest severity in it."""
        severities = {notification.severity for notification in self.notifications}
        return next((name for name in MARKS if name in severities), "info")

    @property
    def title(self) -> str:
        """One line."""
        first = self.notifications[0]
        mark = "✓ over:" if self.is_resolved else MARKS[self.severity]
        others = len(self.notifications) - 1
        if self.reason:
            return f"{mark} {len(self.notifications)} changes of alerts: {self.reason}"
        return f"{mark} {first.headline}" + (f" (and {others} more)" if others else "")

    @property
    def text(self) -> str:
        """Several lines: of a single notification its numbers, of several one line each."""
        if len(self.notifications) == 1:
            lines = _details(self.notifications[0])
        else:
            lines = [_line(item) for item in self.notifications[:MAX_LISTED]]
            if (others := len(self.notifications) - MAX_LISTED) > 0:
                lines.append(f"… and {others} more")
        return "\n".join(lines)[:MAX_TEXT]

    @property
    def url(self) -> str:
        """The page of the first alert."""
        return self.notifications[0].url


def _details(notification: Notification) -> list[str]:
    lines = [f"{name}: {value}" for name, value in notification.explanation.items()]
    lines.append(f"since: {iso_time(notification.firing_since)}")
    if notification.is_resolved:
        lines.append(f"over: {iso_time(notification.at)}")
    if notification.examples:
        lines.append(f"traces: {', '.join(notification.examples)}")
    if notification.runbook:
        lines.append(f"runbook: {notification.runbook}")
    if notification.url:
        lines.append(notification.url)
    return lines


def _line(notification: Notification) -> str:
    end = f", over {iso_time(notification.at)}" if notification.is_resolved else ""
    return f"{notification.headline} (since {iso_time(notification.firing_since)}{end})"


def iso_time(seconds: float) -> str:
    """A time as RFC 3339, in UTC, to the second."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class _Fields(string.Formatter):
    """Fills in `{name}` from a mapping: no attributes, indexes, conversions or formats, so that a
    template reads nothing but what it is handed."""

    def get_field(self, field_name: str, args: object, kwargs: Mapping[str, object]) -> object:
        return kwargs[field_name], field_name

    def format_field(self, value: object, format_spec: str) -> str:
        if format_spec:
            raise ValueError(f"{{…:{format_spec}}}: formats are not known here")
        return str(value)

    def convert_field(self, value: object, conversion: str | None) -> object:
        if conversion:
            raise ValueError(f"{{…!{conversion}}}: conversions are not known here")
        return value


def fields(message: Message) -> dict[str, str]:
    """What a template can name."""
    first = message.notifications[0]
    return {
        "title": message.title,
        "text": message.text,
        "url": message.url,
        "severity": message.severity,
        "status": "resolved" if message.is_resolved else "firing",
        "count": str(len(message.notifications)),
        "rule": first.rule,
        "headline": first.headline,
        "since": iso_time(first.firing_since),
        "runbook": first.runbook,
        "cause": first.explanation.get("cause", ""),
        "impact": first.explanation.get("impact", ""),
        **{f"label_{name}": value for name, value in first.labels.items()},
        **{f"value_{name}": value for name, value in first.explanation.items()},
    }


def fill(template: str, message: Message) -> str:
    """A template's text. Raises ValueError with the names that it can use."""
    known = fields(message)
    try:
        return _Fields().vformat(template, (), known)[:MAX_TEXT]
    except KeyError as error:
        raise ValueError(f"{{{error.args[0]}}} is not known: {', '.join(sorted(known))}") from error
    except IndexError as error:
        raise ValueError("write names in the braces; write {{ for a brace") from error
