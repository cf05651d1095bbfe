"""A diagnosis in sentences: its first cause, and what it cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clew.analysis.texts import instance_text, number_text
from clew.analysis.watching.texts import amount_text

MIN_APDEX = 0.01  # by which it fell, if it is said
LEAST_VALUE = 0.005  # what is shown as 0.01
MAX_LENGTH = 300  # characters
MAX_TEXT = 80  # of a log record


def sentence(cause: Mapping[str, Any]) -> str:
    """The service and operation, what changed in it, since which version or for which value, and
    how sure that is. `cause`: one of the answer of `diagnose`."""
    subject = f"{cause['service'] or 'a service without a name'} {cause['operation']}".strip()
    conditions = "".join(
        f", {word} {instance_text(value['value'])}"
        for name, word in (
            ("versions", "since version"),
            ("values", "for"),
            ("instances", "at instance"),
        )
        for value in cause[name][:1]
    )
    change = _change(cause)
    code = next((one["place"] for one in cause["examples"] if one["place"]), "")
    where = f", in {code}" if code and " at " not in change else ""
    text = f"{subject} {change}{conditions}{where} (confidence {cause['confidence']:.0%})"
    text = " ".join(text.split())
    return text if len(text) <= MAX_LENGTH else f"{text[: MAX_LENGTH - 1]}…"


def impact_text(impact: Mapping[str, Any]) -> str:
    """What a window cost beyond the baseline. `impact`: that of the answer of `diagnose`."""
    failed, apdex, users, value = (impact[name] for name in ("failed", "apdex", "users", "value"))
    parts = [f"{impact['traces']} traces"]
    if failed["lower"] > 0:
        half = (failed["upper"] - failed["lower"]) / 2
        parts.append(f"{failed['value']:.0f} ± {half:.0f} more failed than usual")
    if None not in apdex.values() and apdex["before"] - apdex["after"] >= MIN_APDEX:
        parts.append(f"Apdex {apdex['before']:.2f} → {apdex['after']:.2f}")
    parts.append(f"{impact['user_hours'] * 60:+.1f} min of waiting")
    if users and users["excess"] >= 1:
        parts.append(f"{users['excess']:.0f} of {users['touched']} users worse off than usual")
    if value and value["lost"] >= LEAST_VALUE:
        between = f"{value['lost_lower']:,.2f} to {value['lost_upper']:,.2f}"
        parts.append(f"value lost {value['lost']:,.2f} ({between})")
    if value and value["at_risk"] >= LEAST_VALUE:
        parts.append(f"value at risk {value['at_risk']:,.2f}")
    if impact["budget_share"]:
        parts.append(f"{impact['budget_share']:.1%} of the month's error budget")
    return ", ".join(parts)


def _change(cause: Mapping[str, Any]) -> str:
    target, evidence = cause["target"], cause["evidence"]
    hottest = max(evidence["time"]["changes"], key=lambda change: change["extra_ms"], default=None)
    times = ""
    if hottest:
        before, now = number_text(hottest["baseline_ms"]), number_text(hottest["ms"])
        times = f": {before} → {now} ms a call"
    match cause["kind"]:
        case "link" if target == cause["service"]:
            return f"gets its calls later: they wait before it runs{times}"
        case "link":
            return f"and {target} take longer to reach each other{times}"
        case "database" | "external":
            return f"waits for {target}{times}" if hottest else f"has failed calls of {target}"
        case "process":
            return _process(cause, times)
        case "missing":
            return f"no longer does what it always did{_place(cause)}"
        case "code" if not cause["places"] and not cause["exceptions"]:
            calls = any(change["type"] == "calls" for change in evidence["time"]["changes"])
            return f"calls more, or one after the other{times}" if calls else "calls otherwise"
        case "code":
            return f"does something else{_place(cause)}"
    if hottest is None:
        return f"differs{_place(cause)}"
    return f"takes longer{times}"


def _process(cause: Mapping[str, Any], times: str) -> str:
    gauges = cause["evidence"]["process"]["changes"]
    if cause["target"] or not gauges:
        return f"waits for a connection to {cause['target']}{times}"
    gauge = gauges[0]
    highest, usual = (amount_text(gauge["unit"], gauge[name]) for name in ("highest", "usual"))
    return f"is loaded: {gauge['metric']} {highest}, usually {usual}"


def _place(cause: Mapping[str, Any]) -> str:
    """Where in the code, and what it logs there."""
    changes = cause["evidence"]["logs"]["changes"]
    if not changes:
        return ""
    first = changes[0]
    place = f" at {first['place']}" if first["place"] else ""
    return f"{place}, {first['change']}: {first['text'][:MAX_TEXT]}"
