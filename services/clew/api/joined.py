"""Parts of a joined view: logs, exceptions and deployments of the traces that it is about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from typing import Any, TypeVar

from clew.api.answer import Answer
from clew.api.parameters import SECOND, Window, read_rfc3339, sql_time
from clew.api.selection import MAX_TRACES, Processes, TraceSelection
from clew.storage import Forms, queries

SLOT = 300 * SECOND  # log records are stored by slots of so much time
SLOTS = 24  # of a longer window so many are read first, spread over it
MAX_LOGGED = 1_000_000  # traces that are kept in memory, of the whole window: 100 MB
ERROR, WARNING, ANY_LEVEL, NO_LEVEL = 17, 13, 0, 255  # the least one of levels
LINKS = ("trace", "resource")

Row = TypeVar("Row")


def read_logs(
    answer: Answer, selection: TraceSelection, traces: int, processes: Processes, limit: int
) -> list[dict[str, Any]]:
    """At most `limit` log records as `models.LinkedLog`: those with the id of one of the so many
    traces, and those of the processes that have no trace id. Errors first, then warnings; of each
    the strongest link first, then the newest; the others are spread over the window.

    Of a long window, or of very many traces, only slots of the window are read if they have more
    errors than can be shown. If not, all errors are read as well; likewise all warnings, and, of up
    to MAX_LOGGED traces, the others."""
    window = selection.window
    parameters = {
        **selection.parameters,
        **processes.parameters,
        "spread": _spread(window, limit),
        "limit": limit + 1,
    }

    def read(forms: Forms, **others: Any) -> Sequence[queries.LogKeysRow]:
        forms = {**selection.forms, **forms}
        return answer.rows(queries.LOG_KEYS, **parameters | others | {"forms": forms})

    slots: Sequence[int] = _all_slots(parameters)
    part = SLOT
    is_sample = len(slots) > SLOTS + 4 or traces > MAX_TRACES
    if is_sample:
        slots = _spread_slots(window)
        part = _part(window, slots, traces)
    slot_times = [sql_time(slot)[:19] for slot in slots]
    keys = read({"log_records": "log_records_slots"}, slots=slot_times, part=part)
    least = [_least_unread(keys, link, limit) for link in LINKS]
    if is_sample and min(least) < NO_LEVEL:
        form = "logged_all"
        if traces > MAX_LOGGED:
            form, least[0] = "logged_grave", max(least[0], WARNING)
        forms = {"log_records": "log_records_whole", "logged": form}
        whole = read(forms, least=least[0], process_least=least[1])
        keys = _merged_keys(whole, keys, least, limit)
    return _read_records(answer, window, keys, processes, limit) if keys else []


def _all_slots(parameters: Mapping[str, Any]) -> range:
    """The starts of the slots of the traces' time, and of 5 minutes before and after."""
    first, last = (
        read_rfc3339(parameters[edge].replace(" ", "T") + "Z") for edge in ("from", "to")
    )
    return range(first // SLOT * SLOT - SLOT, last + SLOT, SLOT)


def _spread_slots(window: Window) -> list[int]:
    """The starts of the last slot of each of SLOTS parts of the window, and of that in which it
    ends."""
    part = (window.end - window.start) / SLOTS
    ends = [window.start + round((number + 1) * part) - SLOT for number in range(SLOTS)]
    return sorted({time // SLOT * SLOT for time in (*ends, window.end - 1)})


def _part(window: Window, slots: Sequence[int], traces: int) -> int:
    """Nanoseconds of each slot, so that about MAX_TRACES of the window's traces begin in them."""
    traces_in_slots = max(1.0, traces * len(slots) * SLOT / (window.end - window.start))
    return round(SLOT * min(1.0, MAX_TRACES / traces_in_slots))


def _link(key: queries.LogKeysRow) -> str:
    return "trace" if key["trace_id"] else "resource"


def _least_unread(keys: Sequence[queries.LogKeysRow], link: str, limit: int) -> int:
    """The least level of which records outside of the slots could be shown."""
    levels = [key["severity"] for key in keys if _link(key) == link]
    others = len(keys) - len(levels)
    maximum = limit - min(others, limit // 2)  # of those shown: the other link has its share
    for least, read in pairwise((NO_LEVEL, ERROR, WARNING, ANY_LEVEL)):
        if sum(level >= read for level in levels) > maximum:
            return least
    return ANY_LEVEL


def _merged_keys(
    whole: Sequence[queries.LogKeysRow],
    sampled: Sequence[queries.LogKeysRow],
    least: Sequence[int],
    limit: int,
) -> list[queries.LogKeysRow]:
    """The keys of each link's `least` level and above from the whole window, and after them those
    below from its slots."""
    merged: list[queries.LogKeysRow] = []
    for link, level in zip(LINKS, least, strict=True):
        keys = [key for key in whole if _link(key) == link]
        keys += [key for key in sampled if _link(key) == link and key["severity"] < level]
        merged += keys[: limit + 1]
    return merged


def _read_records(
    answer: Answer,
    window: Window,
    keys: Sequence[queries.LogKeysRow],
    processes: Processes,
    limit: int,
) -> list[dict[str, Any]]:
    """The log records to show of those with these keys."""
    if len(keys) > limit:
        answer.mark_truncated()
    shares = fair_shares([[key for key in keys if _link(key) == link] for link in LINKS], limit)
    keys = [key for share in shares for key in share]
    rows = answer.rows(
        queries.LINKED_LOGS,
        slots=sorted({key["slot"] for key in keys}),
        services=sorted({key["service"] for key in keys}),
        times=sorted({key["time"] for key in keys}),
        keys=[
            (key["service"], key["time"], key["trace_id"], key["span_id"], key["severity"])
            for key in keys
        ],
        processes=list(processes.instances),
        limit=limit,
    )
    shown: list[queries.LinkedLogsRow] = []
    for link, share in zip(LINKS, shares, strict=True):  # more rows than keys if some are alike
        of_link = [row for row in rows if row["linked_by"] == link]
        shown += _spread_rows(of_link, window, limit)[: len(share)]
    shown.sort(key=lambda row: row["time"], reverse=True)
    shown.sort(key=lambda row: (-row["gravity"], LINKS.index(row["linked_by"])))
    return [{name: value for name, value in row.items() if name != "gravity"} for row in shown]


def _spread(window: Window, limit: int) -> int:
    """Nanoseconds of the window for each of `limit` records."""
    return max(1, (window.end - window.start) // limit)


def _spread_rows(
    rows: Sequence[queries.LinkedLogsRow], window: Window, limit: int
) -> list[queries.LinkedLogsRow]:
    """The rows, which are the newest first: the most severe ones, and of each severity the newest
    of every part of the window, before the second newest of any."""
    spread = _spread(window, limit)
    places: Counter[tuple[int, int]] = Counter()
    ranked = []
    for number, row in enumerate(rows):
        part = (row["gravity"], (read_rfc3339(row["time"]) - window.start) // spread)
        places[part] += 1
        ranked.append((-row["gravity"], places[part], number, row))
    return [row for *_, row in sorted(ranked, key=lambda entry: entry[:3])]


def fair_shares(lists: Sequence[Sequence[Row]], limit: int) -> list[Sequence[Row]]:
    """The beginnings of the lists, `limit` entries in all. No list is cut shorter than another
    one's beginning is long."""
    lengths = [0] * len(lists)
    while sum(lengths) < limit:
        open_lists = [n for n, entries in enumerate(lists) if lengths[n] < len(entries)]
        if not open_lists:
            break
        lengths[min(open_lists, key=lambda n: lengths[n])] += 1
    return [entries[:length] for entries, length in zip(lists, lengths, strict=True)]


def read_exceptions(answer: Answer, selection: TraceSelection, limit: int) -> list[dict[str, Any]]:
    """Exceptions of the traces, grouped by service, type, message and the innermost frame of the
    service's own code."""
    rows = answer.limited_rows(queries.EXCEPTIONS, limit, **selection.parameters)
    return [{**row, "frame": row["frame"] or None} for row in rows]


def read_deployments(
    answer: Answer, services: Collection[str], environment: str | None, limit: int
) -> list[queries.DeploymentsRow]:
    """The versions of the services, with the time when each was first seen."""
    return answer.limited_rows(
        queries.DEPLOYMENTS,
        limit,
        services=sorted(services),
        environment=environment,
    )
