"""The traces that a response is about, and the processes that they ran in."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from clew.api.answer import Answer
from clew.api.parameters import Window
from clew.storage import Forms, queries

# The breakdown of a transaction that ran more often reads about this many traces, which keeps its
# shares within about 0.3 %. They come from slices of the window: many, so that a short disturbance
# is in the sample with its share.
MAX_TRACES = 30_000
SLICES = 48

PROCESS_TRACES = 40  # traces whose processes are looked up
PROCESS_SLICES = 8  # of the window, in which those traces begin if there are enough
MAX_PROCESSES_PER_SERVICE = 4
MAX_PROCESSES = 100


@dataclass(frozen=True)
class TraceSelection:
    """The traces that a response is about, one of:

    - an automatic transaction's: those of `service` that enter at one of `names` (or, if not
      `named`, at any other name). `rootless`: some may have no root span.
    - a defined transaction's: those of the occurrences of the definition `defined`.
    - those with the ids `trace_ids`.

    `extent`: the queries' time range of the traces, if they may lie outside the window."""

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
        """The parameters of queries that begin with `entries` or `settled`."""
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

    def slice_parameters(self, traces: int) -> dict[str, Any]:
        """Parameters that select about MAX_TRACES of so many traces: of each `stride` nanoseconds
        of the window the first `part`. `sliced` is False if all traces are selected."""
        length = self.window.end - self.window.start
        if traces <= MAX_TRACES:
            return {"stride": length, "part": length, "sliced": False}
        stride = -(-length // SLICES)
        return {"stride": stride, "part": stride * MAX_TRACES // traces, "sliced": True}

    @property
    def forms(self) -> Forms:
        """The files for `entries`, `settled` and `outside`. There is one for each kind of
        selection, because the engine also plans the branches that a parameter turns off: half of a
        statement's time."""
        if not self.names:  # a service can have an empty name
            entries = "entries_defined" if self.defined else "entries_traces"
            return {"entries": entries, "settled": "settled_traces"}
        outside = "outside_rootless" if self.rootless else "outside_rooted"
        if not self.named:
            return {"entries": "entries_other", "settled": "settled_other", "outside": outside}
        entries = "entries_rootless" if self.rootless else "entries_roots"
        return {"entries": entries, "settled": "settled_named", "outside": outside}


@dataclass(frozen=True)
class Processes:
    """Processes as (service, instance), sorted, and the names of their hosts."""

    instances: tuple[tuple[str, str], ...] = ()
    hosts: tuple[str, ...] = ()

    @property
    def services(self) -> list[str]:
        return sorted({service for service, _ in self.instances})

    @property
    def parameters(self) -> dict[str, Any]:
        return {"processes": list(self.instances), "services": self.services}


@dataclass(frozen=True)
class Entries:
    """The entries of all traces of a selection, as the columns of entry_rows.sql: a trace has more
    than one if it belongs to several occurrences, or enters twice."""

    trace_id: Sequence[str] = ()
    entered: Sequence[int] = ()  # nanoseconds since 1970
    took: Sequence[int] = ()
    is_error: Sequence[int] = ()
    last: Sequence[int] = ()
    failed: Sequence[int] = ()
    hash: Sequence[int] = ()

    @staticmethod
    def from_columns(columns: Mapping[str, Sequence[Any]]) -> Entries:
        """From the rows of entry_rows.sql, of which there are none without columns."""
        return Entries(**columns)


def read_entries(answer: Answer, selection: TraceSelection, traces: int) -> Entries | None:
    """The entries of the selection's so many traces; None if they are too many to be read."""
    if traces > MAX_TRACES:
        return None
    return Entries.from_columns(answer.columns(queries.ENTRY_ROWS, **selection.parameters))


def find_processes(
    answer: Answer, selection: TraceSelection, entries: Entries | None = None
) -> Processes:
    """The processes that a sample of the traces ran in. `entries`: of the traces, if they are read
    already; the sample is then chosen from them as processes.sql chooses it."""
    window = selection.window
    stride = -(-(window.end - window.start) // PROCESS_SLICES)
    if entries is not None:
        sample = _process_sample(entries, window, stride)
        if not sample:
            return Processes()
        selection = replace(selection, names=(), defined="", trace_ids=tuple(sample))
    rows = answer.rows(
        queries.PROCESSES,
        **selection.parameters,
        stride=stride,
        part=stride // 12,
        sample=PROCESS_TRACES,
        each=MAX_PROCESSES_PER_SERVICE,
        limit=MAX_PROCESSES,
    )
    return Processes(
        tuple(sorted((row["service"], row["instance"]) for row in rows)),
        tuple(sorted({row["host"] for row in rows} - {""})),
    )


def _process_sample(entries: Entries, window: Window, stride: int) -> list[str]:
    """The ids of PROCESS_TRACES traces: those that entered in the first twelfth of a stride, then
    the others, by the hash of their ids."""
    ranked = (
        ((entered - window.start) % stride >= stride // 12, hash, trace_id)
        for entered, hash, trace_id in zip(
            entries.entered, entries.hash, entries.trace_id, strict=True
        )
    )
    return [trace_id for *_, trace_id in heapq.nsmallest(PROCESS_TRACES, ranked)]
