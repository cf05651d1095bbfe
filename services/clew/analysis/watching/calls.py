"""Who calls whom: the services and dependencies that a service rests on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from clew.analysis import queries
from clew.analysis.traces.times import HOUR, datetime_text
from clew.storage.statements import Statements

MAX_CALLS = 20_000


class CallGraph:
    """Calls as pairs of a source and a target. A target that is no service is a leaf."""

    def __init__(self, calls: Iterable[tuple[str, str]]) -> None:
        self._targets: dict[str, list[str]] = defaultdict(list)
        for source, target in calls:
            self._targets[source].append(target)

    def downstream(self, service: str) -> list[str]:
        """What a service calls, directly or through others, the nearest first."""
        reached = [service]
        known = {service}
        for name in reached:  # it grows while it is read
            targets = [target for target in self._targets.get(name, ()) if target not in known]
            reached += targets
            known.update(targets)
        return reached[1:]


def read_calls(statements: Statements, at: float) -> CallGraph:
    """The calls of the hour before `at`, in seconds since 1970. Raises StorageError."""
    rows = statements.rows(
        queries.WATCH_CALLS,
        start=datetime_text(at - HOUR),
        end=datetime_text(at),
        limit=MAX_CALLS,
    )
    return CallGraph((row["source"], row["target"]) for row in rows)
