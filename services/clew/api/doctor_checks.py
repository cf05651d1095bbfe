"""What is checked of stored telemetry and of the installation: one row each in CHECKS.

To add a check: a function that returns a Verdict, its row, its row in docs/doctor.md, and a test of
a store that has the fault.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

from clew.api.answer import SETTLER_ROW, Answer
from clew.api.parameters import SECOND, Window, read_rfc3339
from clew.api.services import silent_reason
from clew.redaction import REDACTED, redact_attributes, redact_name, redact_text
from clew.storage import LedgerRow, Query, RowT, queries
from clew.storage import ledger as fates

Status = Literal["ok", "warn", "fail", "none"]

LIMIT = 100  # services, or metrics, of one check
_SPANS_OF_ORPHANS = 300_000  # spans whose parents are looked for: 40 MB
_SPANS_OF_TEXTS = 50_000  # spans of which 20 of each operation are looked through
_RECORDS_OF_TEXTS = 50_000  # log records, of which 100 of each service and level are
_TEXTS = 3_000
# Of an application that begins work by itself, some records have no trace.
_RECORDS, _RECORDS_SHARE = 100, 0.8
_ENTRIES_SHARE = 0.5  # callers outside, such as browsers, may keep their spans to themselves
_LOST_SHARE = 0.01
# More than a service has by hand.
_NAMES, _NAMES_WITH_IDS = 1_000, 20
_SETS, _KEYS = 1_000, 500
_CLOCK_SECONDS = 5
_SETTLING_MAY_TAKE = 600 * SECOND
_PENDING = 100_000  # items: about a second of a busy installation,
_PENDING_SECONDS = 90  # received so long ago; newer ones may wait until somebody reads
_STATEMENTS = ("db.query.text", "db.statement")


class Verdict(NamedTuple):
    """What a check says. `none`: there was nothing to check. `services`: those concerned."""

    status: Status
    text: str
    mend: str = ""
    services: Sequence[str] = ()


@dataclass(frozen=True)
class Examination:
    """The window that is examined, an hour at most, and what reads it."""

    answer: Answer
    window: Window
    environment: str | None
    pending: list[LedgerRow]

    def rows(self, query: Query[RowT], limit: int = LIMIT, **parameters: Any) -> list[RowT]:
        """At most `limit` rows of a query over the window."""
        return self.answer.rows(
            query,
            **self.window.parameters,
            environment=self.environment,
            limit=limit,
            **parameters,
        )

    def spans(self, window: Window) -> int:
        """How many spans there are in a window."""
        row = self.answer.first_row(queries.DOCTOR_SPANS, **window.parameters)
        return row["spans"] if row else 0

    def one_in(self, spans: int) -> int:
        """One of so many traces has about that many spans, or fewer."""
        return 1 + self.spans(self.window) // spans

    @cached_property
    def orphans(self) -> list[queries.DoctorOrphansRow]:
        """Spans whose parents are not stored, by service."""
        return self.rows(queries.DOCTOR_ORPHANS, one_in=self.one_in(_SPANS_OF_ORPHANS))


class Check(NamedTuple):
    """A row: its name in the answer, and what finds the verdict."""

    name: str
    examine: Callable[[Examination], Verdict]


def _listed(texts: Iterable[str], number: int = 3) -> str:
    all_texts = list(texts)
    more = f" and {len(all_texts) - number} more" if len(all_texts) > number else ""
    return f"{', '.join(all_texts[:number])}{more}"


def _orphans(examination: Examination) -> Verdict:
    """Spans that the service itself lost: their parent had to come from the same service."""
    rows = examination.orphans
    lossy = [row for row in rows if row["orphans"] > _LOST_SHARE * row["spans"]]
    if lossy:
        return Verdict(
            "warn",
            "the parent never came of "
            + _listed(
                f"{row['orphans']} of {row['spans']} spans of {row['service']}" for row in lossy
            ),
            "look for `dropped` in the service's log, raise OTEL_BSP_MAX_QUEUE_SIZE, end it by "
            "SIGTERM; a second exporter or sampler may take a part elsewhere",
            [row["service"] for row in lossy],
        )
    total = sum(row["spans"] for row in rows)
    if not total:
        return Verdict("none", "no span")
    return Verdict("ok", f"every service sends the parents of its spans ({total} looked at)")


def _callers(examination: Examination) -> Verdict:
    """Requests whose caller sends a traceparent and no span."""
    rows = examination.orphans
    cut = [row for row in rows if row["orphan_entries"] > _ENTRIES_SHARE * row["entries"]]
    if not cut:
        return Verdict("ok" if rows else "none", "callers send spans" if rows else "no span")
    return Verdict(
        "warn",
        "the caller's span never came of "
        + _listed(
            f"{row['orphan_entries']} of {row['entries']} requests of {row['service']}"
            for row in cut
        ),
        "have the callers (a proxy, a browser, another service) send to this clew too, or sample "
        "as the services do",
        [row["service"] for row in cut],
    )


def _without_spans(examination: Examination) -> Verdict:
    rows = examination.rows(queries.SILENT_SERVICES)
    if not rows:
        return Verdict("ok", "every service that sends anything sends spans")
    names = [row["service"] for row in rows]
    return Verdict("warn", f"no span comes from {_listed(names)}", silent_reason(rows[0]), names)


def _untraced_logs(examination: Examination) -> Verdict:
    rows = examination.rows(queries.DOCTOR_LOGS)
    untraced = [
        row
        for row in rows
        if row["records"] >= _RECORDS and row["without_trace"] > _RECORDS_SHARE * row["records"]
    ]
    if not untraced:
        return Verdict("ok" if rows else "none", "they carry trace ids" if rows else "no record")
    return Verdict(
        "warn",
        "no trace id in "
        + _listed(
            f"{row['without_trace']} of {row['records']} records of {row['service']}"
            for row in untraced
        ),
        "send them by the agent in the service (clew run), not by a log shipper; in other "
        "languages switch on the log bridge of OpenTelemetry",
        [row["service"] for row in untraced],
    )


def _names(examination: Examination) -> Verdict:
    rows = examination.rows(queries.DOCTOR_NAMES)
    many = [
        row for row in rows if row["names_with_ids"] >= _NAMES_WITH_IDS or row["names"] >= _NAMES
    ]
    if not many:
        return Verdict("ok" if rows else "none", "few, without ids" if rows else "no span")
    row = many[0]
    example = f", such as {row['examples'][0]}" if row["examples"] else ""
    return Verdict(
        "warn",
        _listed(f"{row['names']} names of spans of {row['service']}" for row in many) + example,
        "name spans after the route or the operation, and write the id into an attribute",
        [row["service"] for row in many],
    )


def _series(examination: Examination) -> Verdict:
    rows = examination.rows(queries.DOCTOR_SERIES, fewest=_SETS)
    if not rows:
        return Verdict("ok", f"no metric has {_SETS} sets of attributes")
    row = rows[0]
    key = max(row["values_of_keys"], key=lambda key: row["values_of_keys"][key], default="")
    return Verdict(
        "warn",
        _listed(f"{row['metric']} of {row['service']} has {row['sets']} sets" for row in rows)
        + f"; most values ({row['values_of_keys'].get(key, 0)}) has {key}",
        "leave the attribute out of the metric, by a view of the SDK or in the code; spans and log "
        "records may carry it",
        sorted({row["service"] for row in rows}),
    )


def _keys(examination: Examination) -> Verdict:
    rows = examination.answer.rows(
        queries.DOCTOR_KEYS, **examination.window.parameters, fewest=_KEYS, limit=LIMIT
    )
    if not rows:
        return Verdict("ok", f"no service has {_KEYS} attribute keys")
    return Verdict(
        "warn",
        _listed(
            f"{row['keys']} keys of {row['source']} attributes of {row['service']}, such as "
            f"{row['examples'][0]}"
            for row in rows
        ),
        "write what varies into the value, not into the key",
        sorted({row["service"] for row in rows}),
    )


def _secrets(examination: Examination) -> Verdict:
    """Where the rules of redaction find something; what they find is not said."""
    places: Counter[tuple[str, str]] = Counter()
    spans = examination.rows(
        queries.DOCTOR_SPAN_TEXTS, _TEXTS, one_in=examination.one_in(_SPANS_OF_TEXTS)
    )
    for span in spans:
        places.update((span["service"], place) for place in _places_of_span(span))
    stored = examination.answer.first_row(queries.DOCTOR_RECORDS, **examination.window.parameters)
    one_in = 1 + (stored["records"] if stored else 0) // _RECORDS_OF_TEXTS
    records = examination.rows(queries.DOCTOR_LOG_TEXTS, _TEXTS, one_in=one_in)
    for record in records:
        matches = [f"log attribute {key}" for key in secret_keys(record["attributes"])]
        matches += ["log body"] if _is_changed(record["body"]) else []
        places.update((record["service"], place) for place in matches)
    number = len(spans) + len(records)
    if not places:
        return Verdict("ok" if number else "none", f"none in {number} spans and log records")
    return Verdict(
        "warn",
        f"in {number} spans and log records: "
        + _listed(
            f"{place} of {service} ({count})" for (service, place), count in places.most_common()
        ),
        "run the service under clew run, whose agent redacts, or start clew with --redact=true",
        sorted({service for service, _ in places}),
    )


def _places_of_span(span: queries.DoctorSpanTextsRow) -> list[str]:
    places = [f"span attribute {key}" for key in secret_keys(span["attributes"])]
    if redact_name(span["name"], span["attributes"].get("http.route", "")) != span["name"]:
        places.append("span name")
    if _is_changed(span["status_message"]):
        places.append("status message")
    return places


def secret_keys(attributes: Mapping[str, str]) -> list[str]:
    """The keys of attributes whose values hold a secret. Numbers are counts, and literals of
    statements are no secrets by themselves."""
    candidates = {
        key: value
        for key, value in attributes.items()
        if REDACTED not in value and not (value.isdecimal() and len(value) < 13)
    }
    redacted = redact_attributes(candidates)
    changed = [key for key in candidates if redacted[key] != candidates[key]]
    return [key for key in changed if key not in _STATEMENTS]


def _is_changed(text: str) -> bool:
    """Whether a text holds a secret, other than literals of statements."""
    redacted = redact_text(text)
    return redacted.count(REDACTED) > text.count(REDACTED)


def _clocks(examination: Examination) -> Verdict:
    rows = examination.rows(queries.DOCTOR_CLOCKS, seconds=_CLOCK_SECONDS)
    if not rows:
        return Verdict("ok", "no span began after it was stored")
    return Verdict(
        "warn",
        "clocks are ahead: "
        + _listed(f"that of {row['service']} by {row['seconds'] or 0:.0f} s" for row in rows),
        "set the clocks of these hosts by NTP",
        [row["service"] for row in rows],
    )


def _rejected(examination: Examination) -> Verdict:
    rows = examination.answer.rows(queries.LEDGER, **examination.window.parameters, without=[])
    ordinary = (fates.RECEIVED, fates.STORED, fates.PENDING, fates.MENDED, fates.ALIVE)
    reasons: Counter[str] = Counter()
    for row in rows:
        if row["fate"] not in ordinary:
            reasons[row["fate"]] += row["items"]
    if not reasons:
        return Verdict("ok", "nothing was refused")
    text = _listed(f"{count} {reason}" for reason, count in reasons.most_common())
    return Verdict(
        "warn", f"not stored: {text}", "clew replay --list says why; the log of clew names examples"
    )


def _pending(examination: Examination) -> Verdict:
    overdue = time.time() - _PENDING_SECONDS
    items = sum(
        row.items
        for row in examination.pending
        if row.fate == fates.PENDING and row.received_at < overdue
    )
    if items >= _PENDING:
        mend = "look at the log of clew, at --memory-limit and at the disk: loading is behind"
        return Verdict("warn", f"{items} items wait to be loaded", mend)
    return Verdict("ok", f"{items} items wait to be loaded")


def _settling(examination: Examination) -> Verdict:
    row = examination.answer.first_row(queries.SETTLER_PROGRESS, names=[SETTLER_ROW])
    until = row["settled_until"] if row else None
    if until is None:
        return Verdict("none", "no trace was settled yet")
    settled, overdue = read_rfc3339(until), time.time_ns() - _SETTLING_MAY_TAKE
    if settled < overdue and examination.spans(Window(settled, overdue)):
        behind = overdue + _SETTLING_MAY_TAKE - settled
        mend = "look at the log of clew: the analysis stands still, or has more than it can do"
        return Verdict("warn", f"traces are settled up to {behind // (60 * SECOND)} min ago", mend)
    return Verdict("ok", f"up to {until}")


CHECKS: tuple[Check, ...] = (
    Check("pending", _pending),
    Check("rejected", _rejected),
    Check("settling", _settling),
    Check("clocks", _clocks),
    Check("orphans", _orphans),
    Check("callers", _callers),
    Check("services", _without_spans),
    Check("log records", _untraced_logs),
    Check("span names", _names),
    Check("metrics", _series),
    Check("attribute keys", _keys),
    Check("secrets", _secrets),
)
