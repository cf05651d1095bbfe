"""`clew alerts`: what is wrong, readable in a terminal; silences; tests of receivers and rules."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml

from clew.analysis.alerts.imports import import_objectives
from clew.analysis.alerts.rules import Rules, read_file
from clew.analysis.documents import DocumentError
from clew.analysis.texts import number_text
from clew.analysis.transactions.definitions import write
from clew.cli.client import Client
from clew.cli.settings import UsageError

PAGE = 100  # alerts of a request; its answer has a limit
MAX_PAGES = 10
MAX_EPISODES = 5  # of a rule that is tried
OPEN = ("firing", "recovering", "pending")
MARKS = {"page": "✕", "ticket": "▲", "info": "●"}  # as in messages (clew.delivery.messages)
FIELDS = (  # of a match; other names are those of labels of rules and SQL
    "severity", "rule", "transaction", "service", "operation", "dependency", "environment",
)  # fmt: skip
UNITS = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def show(
    client: Client, *, with_ended: bool, as_document: bool, now: datetime | None = None
) -> int:
    """Print the alerts that are open, or all of them. Raises UsageError."""
    alerts = _alerts(client, () if with_ended else OPEN)
    if as_document:
        print(json.dumps({"alerts": alerts}, indent=2))
    else:
        watched = client.send("GET", "alerts/status").get("watched")
        lines = (*_lines(alerts, now or datetime.now(UTC)), *_unwatched_lines(watched))
        print("\n".join(lines))
    return 0


def silence(client: Client, match: Sequence[str], length: str, reason: str) -> int:
    """Make a silence for the alerts that match `label=pattern`. Raises UsageError."""
    if not match:
        raise UsageError("alerts silence: say which alerts, such as service=payments")
    if not reason or not length:
        raise UsageError("alerts silence: say how long and why: --for 2h --reason TEXT")
    body = {"match": _match(match), "for": length, "reason": reason}
    stored = client.send("POST", "silences", body)
    print(f"{stored['id']}: silent until {stored['end'][:19]}Z")
    return 0


def test(client: Client, receiver: str) -> int:
    """Send a test message to a receiver; 1 if it was not taken. Raises UsageError."""
    result = client.send("POST", f"receivers/{quote(receiver, safe='')}/test")
    name = f"{result['receiver']} ({result['kind']})"
    print(f"{name}: delivered" if result["delivered"] else f"{name}: {clean(result['error'])}")
    return 0 if result["delivered"] else 1


def rehearse(client: Client, file: Path, *, as_document: bool) -> int:
    """Print what the rules of a file would have done in the last two weeks. Raises UsageError."""
    try:
        document = read_file(file).document
    except DocumentError as error:
        raise UsageError(str(error)) from error
    body = {name: value for name, value in document.items() if name in Rules.model_fields}
    result = client.send("POST", "alerts/rules/test", body)
    if as_document:
        print(json.dumps(result, indent=2))
    else:
        lines = (line for rule in result["rules"] for line in _rule_lines(rule, result["days"]))
        print("\n".join(lines) or f"{file}: there is no rule in it")
    return 0


def import_file(file: Path, *, as_document: bool) -> int:
    """Print the objectives of an OpenSLO or Sloth file as definitions and rules, and to the
    standard error what they leave out. Raises UsageError."""
    try:
        imported = import_objectives(file.read_bytes(), str(file))
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}") from error
    except DocumentError as error:
        raise UsageError(str(error)) from error
    rules = {"rules": [rule.document for rule in imported.rules]}
    if as_document:
        transactions = [definition.document for definition in imported.definitions]
        print(json.dumps({"transactions": transactions, "notes": imported.notes} | rules, indent=2))
        return 0
    print(f"# for the file of --transactions\n{write(imported.definitions)}---")
    print("# for the file of --alerts")
    print(yaml.safe_dump(rules, sort_keys=False, allow_unicode=True, width=100), end="")
    for note in imported.notes:
        print(clean(note), file=sys.stderr)
    return 0


def _rule_lines(rule: Mapping[str, Any], days: float) -> Iterator[str]:
    """What a rule would have done, and its last episodes."""
    if rule["none_because"] is not None:
        yield f"{clean(rule['rule'])}: cannot say: {clean(rule['none_because'])}"
        return
    times = "once" if rule["count"] == 1 else f"{rule['count']} times" if rule["count"] else "never"
    per_week = rule["count"] and rule["per_week"]
    often = f", {number_text(per_week)} a week" if per_week else ""
    left_out = f" (and {rule['series_left_out']} not tried)" if rule["series_left_out"] else ""
    series = f"{rule['series']} series{left_out}"
    yield f"{clean(rule['rule'])}: {times} in {number_text(days)} days{often}; {series}"
    for episode in rule["episodes"][:MAX_EPISODES]:
        labels = " ".join(episode["labels"].values())
        numbers = ""
        if episode["value"] is not None:
            unit = f" {episode['unit']}".replace(" 1", "")
            numbers = f": {episode['measure']} {episode['value']:.4g}{unit}"
        until = "still" if episode["until"] is None else f"until {episode['until'][5:16]}"
        yield f"    {episode['since'][:16]} {until}  {clean(labels + numbers)}"
    if rule["count"] > MAX_EPISODES:
        yield f"    and {rule['count'] - MAX_EPISODES} before"
    for known in sorted({one["known"] for one in rule["unjudged"]}):
        subjects = [one["labels"] for one in rule["unjudged"] if one["known"] == known]
        names = ", ".join(" ".join(labels.values()) for labels in subjects[:3])
        yield f"    {known.replace('_', ' ')}: {clean(names)}{' …' if len(subjects) > 3 else ''}"


def _alerts(client: Client, states: Sequence[str]) -> list[dict[str, Any]]:
    alerts: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    for _ in range(MAX_PAGES):
        page = client.send("GET", "alerts", None, limit=PAGE, **cursor)
        alerts += page["alerts"]
        is_past = states and alerts and alerts[-1]["state"] not in states  # open ones come first
        if page["next_cursor"] is None or is_past:
            break
        cursor = {"cursor": page["next_cursor"]}
    return [alert for alert in alerts if not states or alert["state"] in states]


def _lines(alerts: Sequence[Mapping[str, Any]], now: datetime) -> Iterator[str]:
    """Heads of groups, each with the alerts that it stands for below it."""
    if not alerts:
        yield "nothing is wrong that a rule knows of"
        return
    ids = {alert["id"] for alert in alerts}
    members: dict[str, list[Mapping[str, Any]]] = {}
    for alert in alerts:
        members.setdefault(alert["group"], []).append(alert)
    for alert in alerts:
        if alert["group"] == alert["id"] or alert["group"] not in ids:
            yield from _alert_lines(alert, now)
            for member in members.get(alert["id"], ()):
                if member is not alert:
                    yield f"    └ {clean(member['headline'])} ({member['state']})"


def _unwatched_lines(watched: Mapping[str, Any] | None) -> Iterator[str]:
    """What is not compared with its past, if anything is not."""
    if watched and watched["unwatched"]:
        first = [" ".join(one["labels"].values()) for one in watched["largest_unwatched"][:3]]
        more = " …" if watched["unwatched"] > len(first) else ""
        yield clean(
            f"{watched['unwatched']} series are not watched: the limit is {watched['limit']} "
            f"(--watch-limit): {', '.join(first)}{more}"
        )


def _alert_lines(alert: Mapping[str, Any], now: datetime) -> Iterator[str]:
    mark = MARKS[alert["severity"]] if alert["state"] != "resolved" else "✓"
    yield f"{mark} {clean(alert['headline'])}"
    parts = [
        f"{alert['state']} for {_age(alert['since'], now)}",
        alert["severity"],
        f"rule {alert['rule']}",
        *(f"{name} {text}" for name, text in sorted(alert["labels"].items())),
    ]
    if alert["known"] != "known":
        parts.append(alert["known"].replace("_", " "))
    if alert["acknowledged_by"] is not None:
        parts.append(f"taken care of by {alert['acknowledged_by'] or 'somebody'}")
    if alert["silenced_by"] is not None:
        parts.append("silent")
    yield f"    {clean(' · '.join(parts))}"
    yield f"    why: clew diagnose --alert {alert['id']}"


def _age(time: str, now: datetime) -> str:
    """How long ago a time was, in its largest unit."""
    seconds = max(0, int((now - datetime.fromisoformat(f"{time[:19]}+00:00")).total_seconds()))
    size, unit = next((unit for unit in UNITS if seconds >= unit[0]), UNITS[-1])
    return f"{seconds // size} {unit}"


def _match(texts: Sequence[str]) -> dict[str, Any]:
    match: dict[str, Any] = {}
    for text in texts:
        name, equals, pattern = text.partition("=")
        if not equals or not name or not pattern:
            raise UsageError(f"{text!r}: write label=pattern, such as service=pay*")
        if name in FIELDS:
            match[name] = pattern
        else:
            match.setdefault("labels", {})[name] = pattern
    return match


def clean(text: str) -> str:
    """Text of telemetry without what a terminal would obey."""
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text
    )
