"""`clew diagnose`: why a transaction became slow or fails, readable in a terminal."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode

from clew.analysis.diagnosis.sentences import impact_text
from clew.analysis.texts import instance_text
from clew.analysis.watching.texts import amount_text
from clew.cli.alerts import clean
from clew.cli.client import Client
from clew.cli.settings import UsageError

# A time before now without its sign, which a shell's word would begin with as a flag does.
RELATIVE = re.compile(r"^\d{1,9}[smhdw]$", re.ASCII)
PAGE = 1000  # transactions among which a name is looked up
MAX_LINES = 3  # of each kind of evidence
MAX_TEXT = 160  # letters of a log record
WIDTH, LABEL = 80, 8  # columns
WITHIN = "calls to it take longer before it runs"
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
    lines = _lines(answer, client.url, query.get("transaction", ""))
    print(json.dumps(answer, indent=2) if as_document else "\n".join(lines))
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
        listed = ", ".join(sorted(clean(names[id]) for id in matches)[:10])
        raise UsageError(f"{text!r} is part of several names: {listed}")
    if not matches and not text.replace("-", "").replace("_", "").isalnum():
        listed = ", ".join(sorted(map(clean, names.values()))[:10]) or "none"
        raise UsageError(f"no transaction has the name {text!r} in this time; there are: {listed}")
    return matches[0] if matches else text


def _lines(answer: Mapping[str, Any], url: str, transaction: str) -> Iterator[str]:
    window, baseline = answer["window"], answer["baseline"]
    yield f"{_between(window)} UTC, compared with {_between(baseline)}"
    if answer["window_because"]:
        yield from textwrap.wrap(answer["window_because"], WIDTH)
    if answer["impact"]:
        impact = f"since {_minute(answer['onset'])}: {impact_text(answer['impact'])}"
        yield from textwrap.wrap(impact, WIDTH, subsequent_indent="  ")
    if answer["none_because"]:
        yield from wrapped("no cause: ", answer["none_because"])
    for number, cause in enumerate(answer["causes"], 1):
        yield ""
        yield from _cause_lines(number, cause, url)
    if transaction:
        times = urlencode({name: f"{window[name][:19]}Z" for name in ("start", "end")}, safe=":")
        yield ""
        yield "the same in the web UI:"
        yield f"{url}/transactions/{quote(transaction)}?tab=why&{times}"


def _cause_lines(number: int, cause: Mapping[str, Any], url: str) -> Iterator[str]:
    is_loop = cause["target"] == cause["service"]  # it calls itself
    target = f" → {cause['target']}" if cause["target"] and not is_loop else ""
    operation = f" {cause['operation']}" if cause["operation"] else ""
    what = WITHIN if is_loop else KINDS[cause["kind"]]
    head = f"{cause['service']}{operation}{target}: {what}"
    yield from wrapped(f"{number}. ", head)
    yield f"   {cause['kind']}, score {cause['score']:.2f}, confidence {cause['confidence']:.0%}"
    for label, text in _facts(cause):
        yield from wrapped(f"   {label:<{LABEL}} ", text)
    for example in cause["examples"]:
        ending = ", failed" if example["is_error"] else ""
        yield f"   {'trace':<{LABEL}} {example['trace_id']} {example['duration_ms']:.0f} ms{ending}"
    for example in cause["examples"][:1]:
        # On a line of its own, which a terminal opens with a click.
        yield f"   {url}/traces/{example['trace_id']}?span={example['span_id']}"
    yield from wrapped(f"   {'next':<{LABEL}} ", cause["advice"])


def _facts(cause: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What speaks for a cause: a label, and a text."""
    changes = {name: part["changes"][:MAX_LINES] for name, part in cause["evidence"].items()}
    for change in changes["time"]:
        place = change["operation"] or "calls"
        place += f" → {change['target']}" if change["target"] else ""
        times = f"{change['baseline_ms']:.1f} → {change['ms']:.1f} ms a call"
        if change["type"] == "calls":
            times = f"more calls, or one after the other, {times}"
        yield "time", f"{place}: {times}, {change['extra_ms']:+.1f} ms a trace"
    for change in changes["structure"]:
        place = f"{change['operation'] or change['target']}"
        came = f"{change['came']:.0f} {change['what']}, {change['expected']:.0f} expected"
        yield "calls", f"{place}: {came}"
    for change in changes["logs"]:
        came = f"{change['came']:.0f} came, {change['expected']:.0f} expected"
        where = change["place"] or "a log record"
        yield change["change"], f"{where}: {came}: {_short(change['text'])}"
    for change in changes["process"]:
        highest, usual = (
            amount_text(change["unit"], change[name]) for name in ("highest", "usual")
        )
        place = f"{change['metric']} of {change['instance_name']}"
        yield "process", f"{place}: {highest}, usually {usual}"
    for name in ("versions", "values", "instances"):
        for value in cause[name][:MAX_LINES]:
            share = f"{value['share']:.0%} of the added {value['measure']}"
            shares = f"{share}, {value['calls_share']:.0%} of the calls"
            text = f"{value['key']} = {instance_text(value['value'])}"
            yield name.removesuffix("s"), f"{text}: {shares}"
    for event in cause["events"][:MAX_LINES]:
        yield "event", f"{_minute(event['time'])} {event['type']}: {event['name']}"
    yield from _code_facts(cause["examples"])


def _code_facts(examples: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Where in the code the first example that says it was, and what it wrote."""
    places = [example["place"] for example in examples if example["place"]]
    records = [example["record"] for example in examples if example["record"]]
    for place in places[:1]:
        yield "code", place
    for record in records[:1]:
        text = f"{record['severity']} {_short(record['text'])}"
        yield "log", f"{text} at {record['place']}" if record["place"] else text


def _short(text: str) -> str:
    return textwrap.shorten(text, MAX_TEXT, placeholder=" …")


def wrapped(label: str, text: str) -> Iterator[str]:
    """Lines that a terminal shows whole; those after the first stand below the text."""
    yield from textwrap.wrap(
        clean(text),
        WIDTH,
        initial_indent=label,
        subsequent_indent=" " * len(label),
        break_on_hyphens=False,
        break_long_words=False,
    )


def _between(window: Mapping[str, Any]) -> str:
    """A window; the day of its end only if it is another one."""
    start, end = _minute(window["start"]), _minute(window["end"])
    return f"{start} to {end[11:] if start[:10] == end[:10] else end}"


def _minute(time: str) -> str:
    return time[:16].replace("T", " ")
