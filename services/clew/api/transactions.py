"""Business transactions: the list, and the joined view of one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from operator import itemgetter
from typing import Annotated, Any

from fastapi import Query

from clew.analysis.transactions.definitions import Definition
from clew.api import defined_transactions
from clew.api.answer import Answer, AnswerDependency
from clew.api.breakdown import Breakdown, read_breakdown
from clew.api.changes import (
    BaselineEnd,
    BaselineStart,
    baseline_window,
    change_of,
    window_before,
)
from clew.api.defined_transactions import DefinitionsDependency
from clew.api.example_traces import read_example_traces
from clew.api.freshness import reads
from clew.api.joined import read_deployments, read_exceptions, read_logs
from clew.api.linked_metrics import read_linked_metrics
from clew.api.models import transactions as models
from clew.api.models.joined import JoinedView
from clew.api.parameters import (
    CommonDependency,
    CommonParameters,
    Window,
    rfc3339,
    sql_time_from_rfc3339,
)
from clew.api.problems import Problem
from clew.api.reference import routes
from clew.api.rooted_traces import may_have_rootless
from clew.api.selection import Entries, Processes, TraceSelection, find_processes, read_entries
from clew.api.sorting import Order, SortValue, page_of, sort_parameter
from clew.api.sparklines import Points, add_series
from clew.api.transaction_names import transaction_names
from clew.storage import TooManyRows, queries

router = routes("transactions")

QUANTILE_ERROR = 0.01  # relative error of the sketches that quantiles are computed from
MAX_OVERFLOW = 100
MAX_TRANSACTIONS = 20_000  # automatic ones of a window, of which a page is chosen
# Of up to so many root spans the list reads each (0.15 us), where the rollup by the minute would
# take 30 ms; and of a window of up to so many seconds nothing else.
MAX_ROOTS, RECENT = 200_000, 2 * 3600

# Keys of the list's order, and the value of each in a transaction.
SORT_VALUES: dict[str, Callable[[dict[str, Any]], SortValue]] = {
    "count": itemgetter("count"),
    "impact": itemgetter("impact"),
    "errors": itemgetter("errors"),
    "error_rate": itemgetter("error_rate"),
    **{
        name: lambda document, name=name: document["duration_ms"][name]  # type: ignore[misc]
        for name in ("p50", "p90", "p95", "p99", "max")
    },
    "apdex": itemgetter("apdex"),
    "value": lambda document: document["value"] and document["value"]["sum"],
    "value_lost": lambda document: document["value"] and document["value"]["lost"],
    "change": lambda document: document["change"]["score"],
    "name": itemgetter("name"),
}

ServicesByOperation = dict[tuple[str, str], list[str]]  # key: (service, operation)


@router.get("", response_model=models.Transactions)
@reads("traces", "logs", settled=True)
def list_transactions(
    common: CommonDependency,
    answer: AnswerDependency,
    definitions: DefinitionsDependency,
    sort: Annotated[str | None, sort_parameter(SORT_VALUES, "count")] = None,
    q: Annotated[
        str | None,
        Query(
            description="Only transactions whose name, service or operation contains this text; "
            "case-insensitive.",
            examples=["checkout"],
        ),
    ] = None,
    baseline_start: BaselineStart = None,
    baseline_end: BaselineEnd = None,
    series: Points = None,
) -> dict[str, Any]:
    """The business transactions of the window, most frequent first.

    With `sort=change`, or with a baseline, each transaction says how it changed (`change`).
    Without `baseline_start` and `baseline_end`, the baseline is the window before, of the same
    length."""
    order = Order.parse(sort, SORT_VALUES, "count", common.position)
    baseline = baseline_window(common.window, baseline_start, baseline_end)
    if baseline is None and order.key == "change":
        baseline = window_before(common.window)
    answer.use_one_thread()
    answer.rests_on_settled_traces()
    overflow = answer.limited_rows(queries.OVERFLOW, MAX_OVERFLOW)
    transactions, before = answer.in_parallel(
        lambda: _transactions(answer, definitions, common, has_others=bool(overflow)),
        lambda: (
            _transactions(
                answer, definitions, replace(common, window=baseline), has_others=bool(overflow)
            )
            if baseline
            else []
        ),
    )
    if baseline:
        before_by_id = {document["id"]: document for document in before}
        for document in transactions:
            document["change"] = change_of(document, before_by_id.get(document["id"]), baseline)
    page, next_cursor = page_of(
        [document for document in transactions if _contains(document, q)],
        common,
        order,
        SORT_VALUES[order.key],
        lambda document: str(document["id"]),
    )
    return answer.document(
        start=rfc3339(common.window.start),
        end=rfc3339(common.window.end),
        transactions=page,
        times=add_series(answer, common, page, series) if series else [],
        overflow=overflow,
        next_cursor=next_cursor,
    )


@router.get("/{transaction_id}", response_model=JoinedView)
@reads("traces", "logs", "metrics", settled=True)
def joined_view(
    transaction_id: str,
    common: CommonDependency,
    answer: AnswerDependency,
    definitions: DefinitionsDependency,
) -> dict[str, Any]:
    """The joined view of one transaction: its series, where its time went, what it called, example
    traces, logs, exceptions, linked metrics and deployments.

    `limit` holds for each of its lists, except the points of series. Errors come first among the
    logs, and the others are spread over the window."""
    if common.window.seconds <= RECENT:
        answer.use_one_thread()
    transaction = find_transaction(answer, definitions, transaction_id)
    answer.rests_on_settled_traces()
    if isinstance(transaction, Definition):
        return _defined_view(answer, common, transaction)
    return _automatic_view(answer, common, transaction_id, transaction)


def _automatic_view(
    answer: Answer,
    common: CommonParameters,
    transaction_id: str,
    names: queries.TransactionNamesRow,
) -> dict[str, Any]:
    selection = automatic_selection(names, common)
    series, entries = _series_rows(answer, selection)
    total = next(row for row in series if not row["time"])
    transaction = _automatic_document(
        transaction_id, names["service"], names["operation"], total, common.window, []
    )
    points = [defined_transactions.series_point(row) for row in series if row["time"]]
    if entries is None:
        entries = read_entries(answer, selection, transaction["count"])
    return _view(answer, common, selection, transaction, points, transaction["count"], entries, [])


def _series_rows(
    answer: Answer, selection: TraceSelection
) -> tuple[Sequence[queries.TransactionSeriesRow], Entries | None]:
    """The points of an automatic transaction's series, and one without a time for all of it; and
    the entries that these were counted from, if they were read."""
    window = selection.window
    parameters = selection.parameters | {"step": window.step}
    if window.seconds <= RECENT and not selection.rootless:
        with suppress(TooManyRows):
            columns = answer.columns(queries.SERIES_RECENT, MAX_ROOTS, **parameters)
            return _recent_series(columns)
    parameters |= window.rollup_parameters
    return answer.rows(queries.TRANSACTION_SERIES, **parameters), None


def _recent_series(
    columns: Mapping[str, Sequence[Any]],
) -> tuple[list[queries.TransactionSeriesRow], Entries | None]:
    """The rows of series_recent.sql as those of transaction_series.sql, and the entries, if the
    row for all of it has all of them."""
    names = queries.TransactionSeriesRow.__annotations__
    rows: list[Any] = [
        dict(zip(names, values, strict=True))
        for values in zip(*(columns[name] for name in names), strict=True)
    ]
    total = columns["time"].index("")
    entries: dict[str, Any] = {
        name: columns[name][total] for name in ("trace_id", "entered", "took", "hash")
    }
    count = len(entries["trace_id"])
    if count < rows[total]["count"]:
        return rows, None
    decisive = [1] * count
    failed = columns["failed"][total]
    return rows, Entries(**entries, is_error=failed, last=decisive, failed=decisive)


def _defined_view(
    answer: Answer, common: CommonParameters, definition: Definition
) -> dict[str, Any]:
    counts, series = answer.in_parallel(
        lambda: defined_transactions.read_counts(
            answer, [definition], common.window, common.environment
        ),
        lambda: answer.rows(
            queries.DEFINED_SERIES,
            **common.window.parameters,
            environment=common.environment,
            defined=definition.id,
            step=common.window.step,
        ),
    )
    row = counts[0] if counts else defined_transactions.empty_counts(definition.id)
    extent = (
        {
            "start": sql_time_from_rfc3339(row["earliest"]),
            "end": sql_time_from_rfc3339(row["latest"]),
        }
        if row["count"]
        else None
    )
    selection = TraceSelection(
        common.window, common.environment, defined=definition.id, extent=extent
    )
    transaction = defined_transactions.transaction_document(row, definition, common.window)
    points = [defined_transactions.series_point(row) for row in series]
    attributes = defined_transactions.metric_attributes(definition)
    traces = sum(row["traces"] for row in series)
    entries = read_entries(answer, selection, traces)
    return _view(answer, common, selection, transaction, points, traces, entries, attributes)


def _view(
    answer: Answer,
    common: CommonParameters,
    selection: TraceSelection,
    transaction: dict[str, Any],
    series: list[dict[str, Any]],
    traces: int,
    entries: Entries | None,
    attributes: list[tuple[str, str]],
) -> dict[str, Any]:
    """The document of a transaction with its series, of so many traces. `entries`: of its traces,
    None if they are too many to be read. `attributes`: those by which metrics belong to the
    transaction."""
    window, count, durations = common.window, transaction["count"], transaction["duration_ms"]
    limit = common.limit

    def read_of_processes() -> tuple[Processes, list[dict[str, Any]], list[dict[str, Any]]]:
        processes = find_processes(answer, selection, entries)
        metrics, logs = answer.in_parallel(
            lambda: read_linked_metrics(
                answer,
                selection,
                traces,
                processes,
                window.step,
                series,
                attributes,
                limit,
                entries.trace_id if entries and window.seconds <= RECENT else None,
            ),
            lambda: read_logs(answer, selection, traces, processes, limit),
        )
        return processes, metrics, logs

    (processes, metrics, logs), breakdown, examples, exceptions = answer.in_parallel(
        read_of_processes,
        lambda: read_breakdown(answer, selection, durations["p95"], count, traces, limit),
        lambda: read_example_traces(
            answer, selection, traces, durations["p99"], limit, transaction["id"], entries
        ),
        lambda: read_exceptions(answer, selection, limit),
    )
    if not selection.defined:
        transaction["services"] = _services(answer, common, transaction, breakdown, selection)
    services = {*transaction["services"], *processes.services}
    return answer.document(
        start=rfc3339(window.start),
        end=rfc3339(window.end),
        transaction=transaction,
        quantile_error=QUANTILE_ERROR,
        series=series,
        **breakdown.members,
        traces=examples,
        logs=logs,
        exceptions=exceptions,
        metrics=metrics,
        deployments=read_deployments(answer, services, common.environment, limit),
    )


def _services(
    answer: Answer,
    common: CommonParameters,
    transaction: Mapping[str, Any],
    breakdown: Breakdown,
    selection: TraceSelection,
) -> list[str]:
    """The services that an automatic transaction's traces went through: those of its breakdown, if
    that has all of them."""
    service, operation = transaction["service"], transaction["operation"]
    services = breakdown.services
    if services is None:
        by_operation = _services_by_operation(
            answer, common, service, has_others=not selection.named
        )
        services = by_operation.get((service, operation), [])
    return services or [service]


def find_transaction(
    answer: Answer, definitions: Mapping[str, Definition], transaction_id: str
) -> Definition | queries.TransactionNamesRow:
    """The transaction with this id: a definition, or the names of an automatic transaction. Raises
    Problem 404 for an unknown id."""
    if transaction_id in definitions:
        return definitions[transaction_id]
    names = transaction_names(answer, transaction_id)
    if names is None:
        raise Problem(
            404,
            f"no transaction has the id {transaction_id!r}; GET /api/v1/transactions lists them",
        )
    return names


def automatic_selection(
    names: queries.TransactionNamesRow, common: CommonParameters
) -> TraceSelection:
    """The traces of an automatic transaction."""
    return TraceSelection(
        common.window,
        common.environment,
        service=names["service"],
        names=tuple(names["names"]),
        named=names["named"],
        rootless=names["rootless"],
    )


def _transactions(
    answer: Answer,
    definitions: Mapping[str, Definition],
    common: CommonParameters,
    *,
    has_others: bool,
) -> list[dict[str, Any]]:
    """All transactions of the window, as `models.Transaction`. `has_others`: some service has more
    names than transactions."""
    window = common.window
    automatic, defined, services = answer.in_parallel(
        lambda: _automatic_rows(answer, common, has_others=has_others),
        lambda: defined_transactions.read_counts(
            answer, definitions.values(), window, common.environment
        ),
        lambda: _services_by_operation(answer, common, has_others=has_others),
    )
    return [
        _automatic_document(
            row["id"],
            row["service"],
            row["operation"],
            row,
            window,
            services.get((row["service"], row["operation"]), [row["service"]]),
        )
        for row in automatic
    ] + [
        defined_transactions.transaction_document(row, definitions[row["id"]], window)
        for row in defined
        if row["count"]
    ]


def _automatic_rows(
    answer: Answer, common: CommonParameters, *, has_others: bool
) -> Sequence[queries.TransactionsRow]:
    window = common.window
    if has_others or may_have_rootless(answer, window):
        return _counted_rows(answer, common, "counted_all")
    try:
        if window.seconds <= RECENT:
            return answer.limited_rows(
                queries.TRANSACTIONS_RECENT,
                MAX_TRANSACTIONS,
                rows_read=MAX_ROOTS,
                **window.parameters,
                environment=common.environment,
            )
        return _counted_rows(answer, common, "counted_roots", rows_read=MAX_ROOTS)
    except TooManyRows:
        return _counted_rows(answer, common, "counted_rooted")


def _counted_rows(
    answer: Answer, common: CommonParameters, form: str, rows_read: int | None = None
) -> list[queries.TransactionsRow]:
    return answer.limited_rows(
        queries.TRANSACTIONS,
        MAX_TRANSACTIONS,
        forms={"counted": form},
        rows_read=rows_read,
        **common.window.parameters,
        **common.window.rollup_parameters,
        environment=common.environment,
    )


def _contains(transaction: Mapping[str, Any], text: str | None) -> bool:
    """Whether the name, service or operation contains the text, without regard to case."""
    folded = (text or "").strip().casefold()
    return any(folded in transaction[name].casefold() for name in ("name", "service", "operation"))


def _services_by_operation(
    answer: Answer, common: CommonParameters, service: str | None = None, *, has_others: bool
) -> ServicesByOperation:
    """The services that traces of automatic transactions went through, by their entry.

    The settled traces outside the window's whole hours are read only if they can say more than the
    hours: if in an hour that the window cuts there are services which in no whole one are."""
    window = common.window
    parameters: dict[str, Any] = {
        **window.parameters,
        **window.rollup_parameters,
        "forms": {"other_names": "other_names_some" if has_others else "other_names_none"},
        "service": service,
        "environment": common.environment,
    }
    services: ServicesByOperation = {}
    if window.has_whole_hours:
        hours = answer.rows(queries.SERVICES_BY_HOUR, **parameters)
        services = {(row["service"], row["operation"]): row["within"] for row in hours}
        if all(row["within"] == row["touched"] for row in hours):
            return services
    for row in answer.rows(queries.SERVICES_OUTSIDE, **parameters):
        key = row["service"], row["operation"]
        services[key] = sorted({*services.get(key, ()), *row["services"]})
    return services


def _automatic_document(
    id: str,
    service: str,
    operation: str,
    row: queries.TransactionsRow | queries.TransactionSeriesRow,
    window: Window,
    services: list[str],
) -> dict[str, Any]:
    """An automatic transaction as `models.Transaction`."""
    count = row["count"]
    p50, p90, p95, p99, longest = [*row["quantiles"], row["max"]] if count else [None] * 5
    return {
        "id": id,
        "name": f"{service}: {operation}",
        "source": "auto",
        "service": service,
        "operation": operation,
        "services": services,
        "count": count,
        "errors": row["errors"],
        "error_rate": row["errors"] / count if count else 0.0,
        "per_second": count / window.seconds,
        "impact": row["total_ns"] / 1e6 / window.seconds,
        "duration_ms": {"p50": p50, "p90": p90, "p95": p95, "p99": p99, "max": longest},
        "apdex": (row["satisfied"] + row["tolerating"] / 2) / count if count else None,
        "value": None,
        "slo": None,
        "change": None,
        "series": None,
    }
