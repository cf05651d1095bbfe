"""Which attribute values, versions and instances go with a change within a suspect's calls."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from clew.analysis.queries import DiagnosisValuesRow

# Keys that identify a request, and keys that say which operation it is or how it ended.
IDENTIFIERS = (
    r"(^|[._])(pid|ppid|vpid|parent_pid|port|uid|uuid|guid|address)$"
    r"|(^|[._])(invocation|container|thread|session|request|correlation|message"
    r"|messaging\.client|trace|span)[._]?id$"
)
DESCRIPTIONS = (
    r"^(http\.(route|request\.method|method|target|url|response\..*|status_code)|url\..*|rpc\..*"
    r"|code\..*|error\.type|exception\..*|otel\..*|messaging\.(operation|destination).*"
    r"|service\.name|telemetry\..*|process\..*|user_agent\..*|network\..*)$"
)
INSTANCES = (
    "k8s.pod.name",
    "host.name",
    "service.instance.id",
    "container.id",
    "k8s.pod.uid",
    "host.id",
)  # fmt: skip; those that people know first
VERSIONS = ("service.version",)
# A value explains a change if its calls have far more of it than their share: 0 is just
# that share of it, 1 the whole change.
MIN_LIFT = 0.7
TOOK_OVER = 0.9
MIN_CALLS = 5
MAX_VALUES = 5


@dataclass(frozen=True)
class Difference:
    """A value of an attribute of a suspect's calls. `share`: of the change (of the time, or of the
    failures) that calls with the value have; `calls_share`: of the calls."""

    key: str
    value: str
    source: str
    measure: str
    share: float
    calls_share: float
    calls: int
    is_new: bool

    def as_json(self) -> dict[str, Any]:
        return {
            "key": self.key,
            "value": self.value,
            "source": self.source,
            "measure": self.measure,
            "share": self.share,
            "calls_share": self.calls_share,
            "calls": self.calls,
            "is_new": self.is_new,
        }


@dataclass
class _Sums:
    calls: float = 0.0
    baseline_calls: float = 0.0
    time: float = 0.0  # more than expected
    failures: float = 0.0


def differences(rows: Iterable[DiagnosisValuesRow]) -> dict[str, list[Difference]]:
    """By service, the values with most of what changed in A: what calls took longer, or failed more
    often, than those of B at the same operation. The most telling first."""
    totals: defaultdict[str, _Sums] = defaultdict(_Sums)
    sums: defaultdict[tuple[str, str, str, str], _Sums] = defaultdict(_Sums)
    usual: dict[tuple[str, str], tuple[float, float]] = {}
    ordered = sorted(rows, key=lambda row: row["key"] != "")
    for row in ordered:
        operation = (row["service"], row["operation"])
        if not row["key"]:
            if row["b"] < MIN_CALLS:
                continue
            usual[operation] = (row["b_time"] / row["b"], row["b_failed"] / row["b"])
        if operation not in usual:
            continue
        time, failed = usual[operation]
        added = (
            totals[row["service"]]
            if not row["key"]
            else sums[row["service"], row["source"], row["key"], row["value"]]
        )
        added.calls += row["a"]
        added.baseline_calls += row["b"]
        added.time += row["a_time"] - row["a"] * time
        added.failures += row["a_failed"] - row["a"] * failed
    by_service: defaultdict[str, list[Difference]] = defaultdict(list)
    for (service, source, key, value), part in sums.items():
        by_service[service] += _telling(key, value, source, part, totals[service])
    for service, values in by_service.items():
        by_service[service] = sorted(
            values, key=lambda value: (-_rank(value), _order(value.key), value.key, value.value)
        )
    return by_service


def _order(key: str) -> int:
    """Of names of one instance, how well people know it: less is better."""
    return INSTANCES.index(key) if key in INSTANCES else 0


def _rank(value: Difference) -> float:
    return value.share - value.calls_share


def _telling(key: str, value: str, source: str, part: _Sums, whole: _Sums) -> Iterable[Difference]:
    calls_share = part.calls / whole.calls
    has_others = whole.calls - part.calls >= MIN_CALLS
    # A version that took over between B and A has all calls, and so all of the change.
    took_over = key in VERSIONS and not part.baseline_calls and calls_share > TOOK_OVER
    if part.calls < MIN_CALLS or not (has_others or took_over):
        return
    for measure, change, total in (
        ("time", part.time, whole.time),
        ("failures", part.failures, whole.failures),
    ):
        if total <= 0 or change <= 0 or (measure == "failures" and total < MIN_CALLS):
            continue
        share = min(1.0, change / total)
        if took_over or (share - calls_share) / (1 - calls_share) >= MIN_LIFT:
            yield Difference(
                key, value, source, measure, share, calls_share, int(part.calls),
                part.baseline_calls == 0,
            )  # fmt: skip


def of_kind(values: Sequence[Difference], kind: str) -> list[Difference]:
    """Those that are versions, instances, or other values."""
    return [value for value in values if _kind_of(value.key) == kind][:MAX_VALUES]


def _kind_of(key: str) -> str:
    return "versions" if key in VERSIONS else "instances" if key in INSTANCES else "values"
