"""`clew diagnose`: why a transaction became slow or fails, readable in a terminal."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from clew.cli.client import Client
from clew.cli.settings import UsageError

# A time before now without its sign, which a shell's word would begin with as a flag does.
RELATIVE = re.compile(r"^\d{1,9}[smhdw]$", re.ASCII)
PAGE = 1000  # transactions among which a name is looked up
MAX_LINES = 3  # of each kind of evidence
KINDS = {
    "own": "takes longer itself",
    "link": "the way to or from it takes longer",
    "code": "does something else than before",
    "missing": "something that it always did does not happen",
    "process": "its process is loaded, or waits for a connection",
    "database": "its database takes longer or fails",
    "external": "what it calls outside takes longer or fails",
    "version": "one version of it has the change",
    "value": "calls with one value have the change",
}


def show(
    client: Client, transaction: str, parameters: Mapping[str, str], *, as_document: bool
) -> int:
    """Print the diagnosis of a transaction, by its id or name; '' for what the parameters of
    `GET /api/v1/diagnose` say alone. Raises UsageError."""
    query = {name: RELATIVE.sub(r"-\g<0>", value) for name, value in parameters.items()}
    if transaction:
        query["transaction"] = _transaction_id(client, transaction, query)
    answer = client.send("GET", "diagnose", None, **query)
    print(json.dumps(answer, indent=2) if as_document else "\n".join(_lines(answer)))
    return 0


def _transaction_id(client: Client, text: str, parameters: Mapping[str, str]) -> str:
    """The id of the transaction that has this id or name, or the only one whose name contains it.
    An id that is not listed is returned as it is."""
    window = {name: parameters[name] for name in ("start", "end") if name in parameters}
    page = client.send("GET", "transactions", None, limit=PAGE, **window)
    names = {entry["id"]: entry["name"] for entry in page["transactions"]}
    exact = [id for id, name in names.items() if text in (id, name)]
    partial = [id for id, name in names.items() if text.casefold() in name.casefold()]
    matches = exact or partial
    if len(matches) > 1:
        listed = ", ".join(sorted(_clean(names[id]) for id in matches)[:10])
        raise UsageError(f"{text!r} is part of several names: {listed}")
    if not matches and not text.replace("-", "").replace("_", "").isalnum():
        listed = ", ".join(sorted(map(_clean, names.values()))[:10]) or "none"
        raise UsageError(f"no transaction has the name {text!r} in this time; there are: {listed}")
    return matches[0] if matches else text


def _lines(answer: Mapping[str, Any]) -> Iterator[str]:
    window, baseline = answer["window"], answer["baseline"]
    yield f"{_minute(window['start'])} to {_minute(window['end'])} UTC, compared with " + (
        f"{_minute(baseline['start'])} to {_minute(baseline['end'])}"
    )
    if answer["window_because"]:
        yield answer["window_because"]
    if answer["impact"]:
        yield f"since {_minute(answer['onset'])}: {_impact(answer['impact'])}"
    if answer["none_because"]:
        yield f"no cause: {_clean(answer['none_because'])}"
    for number, cause in enumerate(answer["causes"], 1):
        yield ""
        yield from _cause_lines(number, cause)


def _impact(impact: Mapping[str, Any]) -> str:
    failed, apdex = impact["failed"], impact["apdex"]
    parts = [f"{impact['traces']} traces"]
    if failed["lower"] > 0:
        half = (failed["upper"] - failed["lower"]) / 2
        parts.append(f"{failed['value']:.0f} ± {half:.0f} more failed than usual")
    if apdex["before"] is not None and apdex["after"] is not None:
        parts.append(f"Apdex {apdex['before']:.2f} → {apdex['after']:.2f}")
    parts.append(f"{impact['user_hours'] * 60:+.1f} min of waiting")
    if impact["users"]:
        parts.append(f"{impact['users']['worse']} of {impact['users']['touched']} users worse off")
    if impact["value"]:
        parts.append(f"value lost {impact['value']['lost']:.2f}")
    if impact["budget_share"]:
        parts.append(f"{impact['budget_share']:.1%} of the month's error budget")
    return ", ".join(parts)


def _cause_lines(number: int, cause: Mapping[str, Any]) -> Iterator[str]:
    target = f" → {cause['target']}" if cause["target"] else ""
    operation = f" {cause['operation']}" if cause["operation"] else ""
    yield _clean(f"{number}. {cause['service']}{operation}{target}: {KINDS[cause['kind']]}")
    yield f"   {cause['kind']}, score {cause['score']:.2f}, confidence {cause['confidence']:.0%}"
    evidence = cause["evidence"]
    for change in evidence["time"]["changes"][:MAX_LINES]:
        place = change["operation"] or "calls"
        place += f" → {change['target']}" if change["target"] else ""
        times = f"{change['baseline_ms']:.1f} → {change['ms']:.1f} ms a call"
        if change["type"] == "calls":
            times = f"more calls, or one after the other, {times}"
        yield _clean(f"   time     {place}: {times}, {change['extra_ms']:+.1f} ms a trace")
    for change in evidence["structure"]["changes"][:MAX_LINES]:
        place = f"{change['operation'] or change['target']}"
        yield _clean(
            f"   calls    {place}: {change['came']:.0f} {change['what']}, "
            f"{change['expected']:.0f} expected"
        )
    for change in evidence["logs"]["changes"][:MAX_LINES]:
        text = " ".join(change["text"].split())[:80]
        yield _clean(
            f"   {change['change']:8} {change['place'] or 'log record'}: {change['came']:.0f}, "
            f"{change['expected']:.0f} expected: {text}"
        )
    for change in evidence["process"]["changes"][:MAX_LINES]:
        yield _clean(
            f"   process  {change['metric']} of {change['instance']}: {change['highest']:.3g}, "
            f"usually {change['usual']:.3g}"
        )
    for name in ("versions", "values", "instances"):
        for value in cause[name][:MAX_LINES]:
            shares = f"{value['share']:.0%} of the change, {value['calls_share']:.0%} of the calls"
            yield _clean(f"   {name:8} {value['key']} = {value['value']}: {shares}")
    for event in cause["events"][:MAX_LINES]:
        yield _clean(f"   event    {_minute(event['time'])} {event['type']}: {event['name']}")
    for example in cause["examples"]:
        ending = ", failed" if example["is_error"] else ""
        yield f"   trace    {example['trace_id']} {example['duration_ms']:.0f} ms{ending}"


def _minute(time: str) -> str:
    return time[:16].replace("T", " ")


def _clean(text: str) -> str:
    """Text of telemetry without what a terminal would obey."""
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text
    )
