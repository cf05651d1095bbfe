"""What to do about a cause: one or two sentences, with what is known filled in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from clew.analysis.texts import instance_text

MANY = 1.5  # times as many calls as expected, from which on that is what to look at
CONNECT = "connect"  # what instrumentations call the span of a connection that is made
Document = Mapping[str, Any]  # a cause as the API's model names it


def advice(cause: Document) -> str:
    """What to look at next. `cause`: with `kind` and the lists of evidence."""
    instances = cause["instances"]
    if cause["kind"] == "own" and instances:
        return (
            f"Only {instance_text(instances[0]['value'])} has it: take it out of the load, then "
            "compare its host, configuration and version with the other instances."
        )
    if cause["kind"] in ("own", "code", "link") and (
        text := _new_place(cause) or _more_calls(cause) or _serial_calls(cause)
    ):
        return text
    return ADVICE[cause["kind"]](cause)


def _self_time(cause: Document) -> str:
    return (
        f"Read the code of {_operation(cause)}{_at(cause)}: what it computes, reads or waits for "
        "there has no span. If the log record does not tell, add a span around parts of it."
    )


def _link(cause: Document) -> str:
    if cause["target"] == cause["service"]:
        return (
            f"Calls wait before {cause['service']} runs: look at its workers, threads and event "
            "loop, and at how many requests it has at a time."
        )
    return (
        f"Look at what lies between {cause['service']} and {cause['target']}: connections, pools, "
        "DNS, TLS, the load balancer, and whether the callee takes requests late."
    )


def _code(cause: Document) -> str:
    return f"Compare an example with a trace from before the change{_at(cause)}."


def _new_place(cause: Document) -> str:
    """What to do about a record or an exception that is new; empty without any."""
    for place in cause["places"]:
        if place["change"] == "new":
            return f"Read the code at {place['place']}, and what calls it."
    return ""


def _more_calls(cause: Document) -> str:
    """What to do about calls that are made far more often; empty without any."""
    for change in cause["evidence"]["structure"]["changes"]:
        if change["operation"] and change["came"] > MANY * change["expected"]:
            times = change["came"] / max(1.0, change["expected"])
            return (
                f"{change['operation']} runs {times:.1f} times as often{_at(cause)}: look for a "
                "loop, a cache that is off, a retry. An example shows which span repeats."
            )
    return ""


def _serial_calls(cause: Document) -> str:
    """What to do about calls that take longer together, though each is as fast; empty without."""
    for change in cause["evidence"]["time"]["changes"]:
        if change["type"] == "calls" and cause["kind"] != "own":
            return (
                f"Look at the calls of {change['operation']} in an example{_at(cause)}: there are "
                "more of them, or they run one after the other. Run them at once, or ask for many "
                "with one."
            )
    return ""


def _waits_for_connection(cause: Document) -> str:
    """What to do where connecting to a database takes longer; empty where it does not."""
    statements = cause["statements"]
    if not statements or statements[0]["operation"] != CONNECT:
        return ""
    return (
        f"Requests of {cause['service']} wait for a connection to {cause['target']}: look at "
        "the size of the pool, and at who holds connections for long."
    )


def _missing(cause: Document) -> str:
    first = next((place for place in cause["places"] if place["change"] == "missing"), None)
    where = f"just before {first['place']}" if first else f"in {_operation(cause)}"
    return f"The code leaves its usual way {where}: look for a new condition or an early return."


def _process(cause: Document) -> str:
    if text := _waits_for_connection(cause):
        return text
    changes = cause["evidence"]["process"]["changes"]
    what = f" of {changes[0]['metric']}" if changes else ""
    return (
        f"See the resources of {cause['service']}: which limit binds it, and since when{what}. "
        "More replicas help only if the load did it."
    )


def _database(cause: Document) -> str:
    statements = cause["statements"]
    if text := _waits_for_connection(cause):
        return text
    what = f"the plan of {statements[0]['operation']}" if statements else "plans of the statements"
    return (
        f"On {cause['target']} look for locks and long transactions, then at {what}: a missing "
        "index, more rows than before."
    )


def _external(cause: Document) -> str:
    return (
        f"See the status page of {cause['target']}, and Third parties for its past. Until it is "
        f"well, change the call{_at(cause)}: a short timeout, fewer attempts, or an answer "
        "without it."
    )


def _version(cause: Document) -> str:
    version = cause["versions"][0]["value"] if cause["versions"] else "the new version"
    return f"Roll {cause['service']} back from {version}, then read what changed in it{_at(cause)}."


def _value(cause: Document) -> str:
    value = cause["values"][0] if cause["values"] else {"key": "the", "value": "value"}
    return (
        f"Look at what requests with {value['key']} = {value['value']} ask for that others do not"
        f"{_at(cause)}: more data, another way through the code. Limit it if it harms others."
    )


def _operation(cause: Document) -> str:
    return str(cause["operation"] or cause["service"])


def _at(cause: Document) -> str:
    places = [example["place"] for example in cause["examples"] if example["place"]]
    return f" at {places[0]}" if places else ""


ADVICE: Mapping[str, Callable[[Document], str]] = {
    "own": _self_time,
    "link": _link,
    "code": _code,
    "missing": _missing,
    "process": _process,
    "database": _database,
    "external": _external,
    "version": _version,
    "value": _value,
}
