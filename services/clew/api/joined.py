"""What belongs to some traces: where their time went, what they called, their logs, exceptions and
deployments. Of a transaction, of one of its occurrences, or of a trace."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from clew.api.answer import Answer
from clew.api.parameters import SECOND, Window, as_parameter
from clew.storage import Forms, queries

LOGS = 50  # of each way they are linked
EXCEPTIONS = 50
DEPLOYMENTS = 100
OPERATIONS = 200
DEPENDENCIES = 200
T = TypeVar("T")

SAMPLE = 40  # traces that processes are looked for in
PLACES = 8  # in the window, where there are enough of them
PROCESSES = 4  # of each service
MOST_PROCESSES = 100
NEVER = float("inf")

# Of a transaction that ran more often, so many are read (shares are within 0.3 % or so then), in
# slices of the window. Many, so that what goes wrong for a while has its part in them.
WHOLE_TRACES = 30_000
SLICES = 48

Operation = tuple[str, str, str]  # service, operation, kind


@dataclass(frozen=True)
class About:
    """The traces that an answer is about: an automatic transaction's (of a service, entered at one
    of `names`, or at another one where they are not `named`), a defined one's, or those with some
    ids. `extent` is where they lie, if that may be outside the window."""

    window: Window
    environment: str | None = None
    service: str = ""
    names: tuple[str, ...] = ()
    named: bool = True
    rootless: bool = False
    defined: str = ""
    trace_ids: tuple[str, ...] = ()
    extent: dict[str, str] | None = None

    @property
    def parameters(self) -> dict[str, Any]:
        window = self.window.parameters
        extent = self.extent or window
        return {
            **window,
            "from": extent["start"],
            "to": extent["end"],
            "environment": self.environment,
            "service": self.service,
            "names": list(self.names),
            "named": self.named,
            "rootless": self.rootless,
            "defined": self.defined,
            "trace_ids": list(self.trace_ids),
            "forms": self.forms,
        }

    def slices(self, count: int) -> dict[str, Any]:
        """Of each `stride` nanoseconds of the window the first `part` are read where the traces of
        a frequent transaction (it ran `count` times) are too many: then it is `sliced`."""
        stride = self.window.end - self.window.start
        if count <= WHOLE_TRACES:
            return {"stride": stride, "part": stride, "sliced": False}
        stride = -(-stride // SLICES)
        return {"stride": stride, "part": stride * WHOLE_TRACES // count, "sliced": True}

    @property
    def forms(self) -> Forms:
        """The files in which `entries` and `settled` are written for what this is about. A branch
        that is turned off by a parameter is planned all the same: half of a statement's time."""
        if not self.service:
            entries = "entries_defined" if self.defined else "entries_traces"
            return {"entries": entries, "settled": "settled_traces"}
        if not self.named:
            return {"entries": "entries_other", "settled": "settled_other"}
        entries = "entries_rootless" if self.rootless else "entries_roots"
        return {"entries": entries, "settled": "settled_named"}


@dataclass(frozen=True)
class Processes:
    """Processes that traces ran in, as (service, instance), and their hosts."""

    instances: tuple[tuple[str, str], ...] = ()
    hosts: tuple[str, ...] = ()

    @property
    def services(self) -> list[str]:
        return sorted({service for service, _ in self.instances})

    @property
    def parameters(self) -> dict[str, Any]:
        return {"processes": list(self.instances), "services": self.services}


def processes(answer: Answer, about: About) -> Processes:
    """The processes that a sample of the traces ran in."""
    stride = -(-(about.window.end - about.window.start) // PLACES)
    rows = answer.rows(
        queries.PROCESSES,
        **about.parameters,
        stride=stride,
        part=stride // 12,
        sample=SAMPLE,
        each=PROCESSES,
        limit=MOST_PROCESSES,
    )
    return Processes(
        tuple(sorted((row["service"], row["instance"]) for row in rows)),
        tuple(sorted({row["host"] for row in rows} - {""})),
    )


def trace_logs(
    answer: Answer, about: About, count: int, limit: int = LOGS
) -> list[queries.LinkedLogsRow]:
    """The newest log records with the id of one of the traces. A frequent automatic transaction,
    that ran `count` times, is likely to have enough in the last part of the window: of the traces
    that began in it or within an hour before it."""
    window = about.window
    if about.service and count > WHOLE_TRACES:
        newest = window.end - (window.end - window.start) // SLICES
        began = Window(max(window.start, newest - 3600 * SECOND), window.end).parameters
        last = about.parameters | began | {"from": as_parameter(newest)}
        rows = answer.rows(queries.LINKED_LOGS, **last, limit=limit + 1)
        if len(rows) > limit:
            answer.was_cut()
            return rows[:limit]
    return answer.most(queries.LINKED_LOGS, limit, **about.parameters)


def process_logs(
    answer: Answer, window: dict[str, str], ran: Processes, limit: int = LOGS
) -> list[queries.ProcessLogsRow]:
    """The newest log records without a trace, of the processes."""
    if not ran.instances:
        return []
    return answer.most(queries.PROCESS_LOGS, limit, **window, **ran.parameters)


def exceptions(answer: Answer, about: About) -> list[dict[str, Any]]:
    """Exceptions by service, type, message and the innermost frame of the service's own code."""
    return [
        {**row, "frame": row["frame"] or None}
        for row in answer.most(queries.EXCEPTIONS, EXCEPTIONS, **about.parameters)
    ]


def deployments(
    answer: Answer, services: Collection[str], environment: str | None
) -> list[queries.DeploymentsRow]:
    """The first sight of each version of the services."""
    return answer.most(
        queries.DEPLOYMENTS, DEPLOYMENTS, services=sorted(services), environment=environment
    )


def breakdown(answer: Answer, about: About, p95_ms: float | None, count: int) -> dict[str, Any]:
    """`breakdown`, `dependencies` and `sample`, over the traces that are settled: of so many as
    `count` says all, or slices of the window that have about WHOLE_TRACES. Slow are those in which
    the transaction took more than the p95 of the window."""
    slices = about.slices(count)
    parameters = about.parameters | slices
    parameters["slower_than"] = NEVER if p95_ms is None else p95_ms * 1e6
    rows, called = answer.together(
        lambda: answer.rows(queries.BREAKDOWN, **parameters, limit=OPERATIONS + 2),
        lambda: answer.most(queries.DEPENDENCIES, DEPENDENCIES, **parameters),
    )
    whole, operations = (rows[0], rows[1:]) if rows else (None, [])
    if len(operations) > OPERATIONS:
        answer.was_cut()
    if whole is None:
        return {
            "breakdown": [],
            "dependencies": [],
            "sample": {"traces": 0, "of": 0, "error": 0.0},
        }
    # Of the transactions that were to be read, those of the slices.
    times = count / sum(whole["without"][1] or [count]) if slices["sliced"] else 1
    less = {} if p95_ms is None else _p95_without(whole, operations)
    kept = operations[:OPERATIONS]
    return {
        "breakdown": [_part(row, whole, times, less.get(_operation(row)), p95_ms) for row in kept],
        "dependencies": [_dependency(row, whole, times) for row in called],
        "sample": {
            "traces": whole["traces"],
            "of": round(whole["calls"] * times),
            "error": max((_error(row, whole) for row in kept), default=0.0),
        },
    }


def _p95_without(
    whole: queries.BreakdownRow, operations: list[queries.BreakdownRow]
) -> dict[Operation, float]:
    """The p95 by the operation that would take no time, from the counts of durations."""
    every = _by_number(whole["without"])
    return {_operation(row): _p95(every, _by_number(row["without"])) for row in operations}


def _by_number(sums: tuple[list[int], list[T]]) -> dict[int, T]:
    """What sumMap said: the keys, and their sums."""
    return dict(zip(*sums, strict=True))


def _p95(counts: dict[int, int], change: dict[int, int]) -> float:
    """Milliseconds, from the counts by the power of 1.02 nanoseconds."""
    left = 0.05 * sum(counts.values())
    for bucket in sorted({*counts, *change}, reverse=True):
        left -= counts.get(bucket, 0) + change.get(bucket, 0)
        if left < 0:
            return 1.02**bucket / 1e6
    return 0.0


def _operation(row: queries.BreakdownRow) -> Operation:
    return row["service"], row["operation"], row["kind"]


def _part(
    row: queries.BreakdownRow,
    whole: queries.BreakdownRow,
    times: float,
    less: float | None,
    p95_ms: float | None,
) -> dict[str, Any]:
    """An operation's part in the time of all traces (`whole`), `times` as many as were read."""
    return {
        "service": row["service"],
        "operation": row["operation"],
        "kind": row["kind"],
        "calls": round(row["calls"] * times),
        "self_time_ms": row["self_ns"] / 1e6 * times,
        "share": _ratio(row["self_ns"], whole["self_ns"]),
        "critical_share": _ratio(row["critical_ns"], whole["critical_ns"]),
        "slow": _cohort(_slow(row), _slow(whole)),
        "typical": _cohort(_typical(row), _typical(whole)),
        "p95_without_ms": p95_ms if less is None or p95_ms is None else min(less, p95_ms),
    }


class Sums(NamedTuple):
    """Of an operation in some traces; of the traces as wholes, `calls` is their number."""

    calls: int
    self_ns: int
    critical_ns: int


def _slow(row: queries.BreakdownRow) -> Sums:
    return Sums(row["slow_calls"], row["slow_self_ns"], row["slow_critical_ns"])


def _typical(row: queries.BreakdownRow) -> Sums:
    slow = _slow(row)
    return Sums(
        row["calls"] - slow.calls,
        row["self_ns"] - slow.self_ns,
        row["critical_ns"] - slow.critical_ns,
    )


def _cohort(part: Sums, whole: Sums) -> dict[str, float]:
    return {
        "calls_per_trace": _ratio(part.calls, whole.calls),
        "self_time_ms_per_trace": _ratio(part.self_ns / 1e6, whole.calls),
        "share": _ratio(part.self_ns, whole.self_ns),
        "critical_share": _ratio(part.critical_ns, whole.critical_ns),
    }


def _error(row: queries.BreakdownRow, whole: queries.BreakdownRow) -> float:
    """The standard error of the operation's share: 0 where every trace was settled and read. Of
    slices it is from how far they differ, which has in it what only some traces settled do."""
    share = _ratio(row["self_ns"], whole["self_ns"])
    slices, own = _by_number(whole["parts"]), _by_number(row["parts"])
    if len(slices) > 1:
        squares = sum((own.get(at, 0) - share * of) ** 2 for at, of in slices.items())
        squares *= len(slices) / (len(slices) - 1)
    else:
        squares = (
            (row["deviation"] or 0.0)
            - 2 * share * (row["covariance"] or 0.0)
            + share**2 * (whole["deviation"] or 0.0)
        )
    return _ratio(math.sqrt(max(0.0, squares)), whole["self_ns"])


def _dependency(
    row: queries.DependenciesRow, whole: queries.BreakdownRow, times: float
) -> dict[str, Any]:
    p50, p95 = row["quantiles"]
    return {
        "type": row["type"],
        "name": row["name"],
        "source": row["source"],
        "summary": row["summary"],
        "calls": round(row["calls"] * times),
        "errors": round(row["errors"] * times),
        "total_ms": row["total_ns"] / 1e6 * times,
        "error_rate": _ratio(row["errors"], row["calls"]),
        "calls_per_trace": _ratio(row["calls"], whole["calls"]),
        "duration_ms": {"p50": p50, "p95": p95},
    }


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
