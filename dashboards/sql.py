"""SQL that several panels share; each function returns a piece of a statement.

Grafana puts in the times and the variables. `$__conditionalAll(condition, $variable)` is the condition,
or `1=1` where the variable stands at All or is empty.
"""

from __future__ import annotations

ERROR = "clew_is_error(StatusCode)"
SERVER = "clew_is_entry_kind(SpanKind)"
QUANTILES = "0.01, 0.5, 0.9, 0.95, 0.99"  # of every sketch; 0.01 is the sketch's precision


def chosen(column: str, variable: str) -> str:
    """A condition: the column has one of the variable's values."""
    return f"$__conditionalAll({column} IN (${{{variable}:singlequote}}), ${variable})"


def in_window(time: str) -> str:
    """A condition: the time lies in the window. Its end is not part of it, as in the API: the rollups'
    times are the starts of minutes, and the minute that begins at the end lies outside."""
    return f"{time} >= $__fromTime AND {time} < $__toTime"


def in_environment(column: str = "Environment") -> str:
    return chosen(column, "environment")


# For metrics and log records, which have no column for it.
RESOURCE_IN_ENVIRONMENT = in_environment("clew_environment(ResourceAttributes)")
# A host of which no service reports the metrics belongs to every environment.
HOST_IN_ENVIRONMENT = f"({RESOURCE_IN_ENVIRONMENT} OR ServiceName = '')"


def quantiles(sketch: str, *names: str) -> str:
    """Columns of milliseconds from a column of sketches: p50, p90, p95, p99."""
    places = {"p50": 1, "p90": 2, "p95": 3, "p99": 4}
    merged = f"quantilesDDMerge({QUANTILES})({sketch})"
    return ", ".join(f"{merged}[{places[name]}] / 1e6 AS {name}" for name in names)


def share(part: str, whole: str) -> str:
    """A share from 0 to 1; 0 if there is nothing."""
    return f"{part} / greatest(1, {whole})"


def by_step(time: str) -> str:
    """The start of the panel's step in which a time lies, as the column `time`."""
    return f"$__timeInterval({time}) AS time"


# Automatic transactions


WEEK, HOUR = 604800, 3600  # seconds
P95 = 19  # the place of p95 among the Levels of clew_watch_1h


def band(value: str, of: str) -> str:
    """What is usual of a watched series, by the hour: between the 5th and the 95th percentile of the
    same hour of the week and the hours beside it, in the four weeks before. `value`: of an hour's
    `requests` and `p95`, in milliseconds; `of`: a condition on clew_watch_1h."""
    return f"""
        SELECT toDateTime(hour) AS time, quantileExactInclusive(0.05)(value) AS usually_from,
            quantileExactInclusive(0.95)(value) AS usually_to
        FROM
        (
            SELECT toUnixTimestamp(Hour) + arrayJoin([{
        ", ".join(
            f"{WEEK * week + HOUR * beside}" for week in (1, 2, 3, 4) for beside in (-1, 0, 1)
        )
    }]) AS hour, {value} AS value
            FROM
            (
                SELECT Hour, sum(Count) AS requests, sum(Count * Levels[{
        P95
    }]) / requests / 1e6 AS p95
                FROM otel.clew_watch_1h FINAL
                WHERE Hour >= $__fromTime - {4 * WEEK + 2 * HOUR} AND Hour < $__toTime AND Count > 0
                    AND {in_environment()} AND {of}
                GROUP BY Hour
            )
        )
        WHERE hour > toUnixTimestamp($__fromTime) - {HOUR} AND hour <= toUnixTimestamp($__toTime)
        GROUP BY hour
        HAVING count() >= 6
        ORDER BY time"""


# The whole hours within the window; the rest at its ends is read by the minute.
FIRST_HOUR, LAST_HOUR = "toStartOfHour($__fromTime + 3599)", "toStartOfHour($__toTime)"


def transactions(of: str = "1=1", *, in_hours: bool = False) -> str:
    """Automatic transactions as states by the minute, as API and UI count them: whole minutes of roots
    from the rollup, and traces whose root never came. `of` is a condition on ServiceName and SpanName.
    With `in_hours` whole hours are one state, without a version: enough for the window as a whole.

    A root ends last and comes last: a trace is known by another span once 10 s have passed. Rows that
    are not merged yet may lack their trace's root: what stands for it (0.5 us to read) is looked at
    only where it never came."""
    measures = "Count, Errors, Satisfied, Tolerating, DurationMax, Sketch"
    hours = f"""SELECT toDateTime(Hour) AS Minute, ServiceName, SpanName, '' AS ServiceVersion, {measures}
        FROM otel.clew_operations_1h
        WHERE IsRoot AND Hour >= {FIRST_HOUR} AND Hour < {LAST_HOUR} AND {in_environment()} AND {of}
        UNION ALL"""
    around = f"AND (Minute < {FIRST_HOUR} OR Minute >= {LAST_HOUR})"
    return f"""(
        {hours if in_hours else ""}
        SELECT toDateTime(Minute) AS Minute, ServiceName, SpanName, ServiceVersion, {measures}
        FROM otel.clew_operations_1m
        WHERE IsRoot AND {in_window("Minute")} AND {in_environment()} AND {of} {around if in_hours else ""}
        UNION ALL
        SELECT clew_minute(clew_entry_start(Key)) AS Minute,
            toLowCardinality(Known.ServiceName) AS ServiceName, toLowCardinality(Known.SpanName) AS SpanName, '',
            count(), sum(Known.IsError), countIf(clew_is_satisfied(Known.Duration)),
            countIf(clew_is_tolerating(Known.Duration)), max(Known.Duration),
            quantilesDDState({QUANTILES})(Known.Duration)
        FROM
        (
            SELECT min(EntryKey) AS Key, argMinMerge(Entry) AS Known
            FROM otel.clew_traces
            WHERE TraceId IN (
                SELECT TraceId FROM otel.clew_traces
                WHERE TraceId IN (
                    SELECT TraceId FROM otel.clew_traces
                    WHERE clew_is_rootless(EntryKey) AND Start < $__toTime AND End >= $__fromTime)
                GROUP BY TraceId
                HAVING min(EntryKey) >= clew_rootless_key(toDateTime64($__fromTime, 9))
                    AND min(EntryKey) < clew_rootless_key(toDateTime64($__toTime, 9))
                    AND clew_root_is_overdue(max(End)))
            GROUP BY TraceId
        )
        WHERE {in_environment("Known.Environment")} AND {of}
        GROUP BY Minute, ServiceName, SpanName
    )"""


# The transaction that the variable `transaction` holds the id of, automatic or defined

NAMED = """(ServiceName, SpanName) IN (
    SELECT ServiceName, SpanName FROM otel.clew_operations
    WHERE clew_transaction_id(ServiceName, SpanName) = ${transaction:singlequote})"""
DEFINED = "Transaction = ${transaction:singlequote}"


WATCHED = """(Kind = 'transaction' AND clew_transaction_id(ServiceName, Name) = ${transaction:singlequote}
    OR Kind = 'defined' AND Name = ${transaction:singlequote})"""


def occurrences(columns: str) -> str:
    """The occurrences of the defined transaction; an automatic one has none."""
    return f"""SELECT {columns}
        FROM otel.clew_occurrences FINAL
        PREWHERE {DEFINED} AND {in_window("Timestamp")}
        WHERE {in_environment()}"""


def counted() -> str:
    """The transaction as states by the minute. Of an automatic one those roots that the variable
    `version` allows."""
    of_a_minute = f"""toStartOfMinute(toDateTime(Timestamp)) AS Minute, '', count(), countIf(IsError),
            max(EntryDuration), quantilesDDState({QUANTILES})(EntryDuration)"""
    return f"""(
        SELECT Minute, ServiceVersion, Count, Errors, DurationMax, Sketch
        FROM {transactions(NAMED)}
        WHERE {chosen("ServiceVersion", "version")}
        UNION ALL
        {occurrences(of_a_minute)}
        GROUP BY Minute
    )"""


def entries() -> str:
    """WITH entries: the traces of the transaction that are settled; Weight is how many each stands
    for, Last says that it is the trace that decided (an occurrence may have several)."""
    return f"""WITH entries AS
    (
        SELECT TraceId, Timestamp, Duration AS Took, IsError, toUInt64(OneIn) AS Weight, toUInt8(1) AS Last
        FROM otel.clew_settled FINAL
        PREWHERE {NAMED} AND {in_window("Timestamp")}
        WHERE Rank < 2 AND {in_environment()}
        UNION ALL
        {
        occurrences('''arrayJoin(TraceIds) AS Id, Timestamp, EntryDuration, IsError, toUInt64(1),
            Id = EntryTraceId''')
    }
    )"""


MOST_TRACES = 10000
RECENT = f"(SELECT TraceId FROM entries ORDER BY Timestamp DESC LIMIT {MOST_TRACES})"


def services() -> str:
    """The services that the transaction's traces went through, one column."""
    return f"""SELECT arrayJoin(Services) FROM otel.clew_entry_services
        WHERE {NAMED} AND Hour >= toStartOfHour($__fromTime) AND Hour < $__toTime
        UNION DISTINCT
        {occurrences("toString(arrayJoin(Services))")}"""


# Metrics


def first(attributes: str, *keys: str) -> str:
    """The value of the first of these keys that exists."""
    tried = ", ".join(f"{attributes}['{key}']" for key in keys)
    return f"arrayFirst(value -> value != '', [{tried}])"


def label(*keys: str) -> str:
    """The first of these attributes that a point has, because conventions change."""
    return first("Attributes", *keys)


HOST = "if(Host != '', Host, ServiceName)"
PROCESS = "concat(ServiceName, ' ', Instance)"
PATIENCE = (
    300  # seconds before the window in which the point before a counter's first is looked for
)


# Points that have a value.
RECORDED = "bitAnd(Flags, 1) = 0"
# A run is the points of one stream with one start: points of two processes that call themselves the same
# overlap, and their starts part them. A run that began since the point before was looked for counts from its
# beginning, unless it says that this is not known (start = time).
START = "(StartTimeUnix, StartTimeUnixNanos)"
IS_NEW = f"StartTimeUnix > $__fromTime - {PATIENCE} AND (TimeUnix, TimeUnixNanos) != {START}"


def run(value: str) -> str:
    """A window clause: the points of each run in order, each with the one before it."""
    return f"""WINDOW run AS (PARTITION BY ServiceName, Stream, if(AggregationTemporality = 1, (0, 0), (toUnixTimestamp(StartTimeUnix), StartTimeUnixNanos))
                       ORDER BY TimeUnix, TimeUnixNanos, {value} ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)"""


def levels(metric: str, by: str, where: str) -> str:
    """A level over time, for each `by`: the mean of a gauge, or of a sum that also goes down; of what
    several report alike, the greatest."""
    tables = " UNION ALL ".join(
        f"""SELECT TimeUnix, ServiceName, Instance, Host, Stream, Attributes, Value
            FROM otel.otel_metrics_{table}
            WHERE MetricName = '{metric}' AND {in_window("TimeUnix")} AND {RECORDED} AND isFinite(Value) AND {where}"""
        for table in ("gauge", "sum")
    )
    return f"""SELECT time, label, max(level) AS value
FROM
(
    SELECT {by_step("TimeUnix")}, {by} AS label, avg(Value) AS level
    FROM ({tables})
    GROUP BY time, label, ServiceName, Stream
)
GROUP BY time, label
ORDER BY time, label
LIMIT 50000"""


def rates(metric: str | tuple[str, ...], by: str, where: str, alike: bool = False) -> str:
    """What a sum that only goes up went up by each second, for each `by`; where several report alike,
    as every process of a host does of the host, the greatest of them. A metric may have several names.

    A cumulative point adds what it has more than the one before it in its run: all of it where the
    counter began again; nothing where none was before it and the run is older."""
    names = metric if isinstance(metric, tuple) else (metric, "")
    return f"""SELECT time, label, {"max" if alike else "sum"}(added) / $__interval_s AS value
FROM
(
    SELECT {by_step("TimeUnix")}, {by} AS label, ServiceName, Instance, Host,
        sum(multiIf(AggregationTemporality = 1, Value, Nth = 1, if(IsNew, Value, 0), Value < Last, Value, Value - Last)) AS added
    FROM
    (
        SELECT TimeUnix, ServiceName, Instance, Host, Attributes, AggregationTemporality, Value,
            {IS_NEW} AS IsNew, row_number() OVER run AS Nth, lagInFrame(Value) OVER run AS Last
        FROM otel.otel_metrics_sum
        WHERE MetricName IN {names} AND {RECORDED} AND isFinite(Value) AND {where}
            AND TimeUnix >= $__fromTime - {PATIENCE} AND TimeUnix < $__toTime
        {run("Value")}
    )
    WHERE TimeUnix >= $__fromTime
    GROUP BY time, label, ServiceName, Instance, Host
)
GROUP BY time, label
ORDER BY time, label
LIMIT 50000"""


def definitions(*fields: str) -> str:
    """The definitions in force: Id, Name and any fields of the definition as JSON has it."""
    columns = ", ".join(("Id", "Name", *fields))
    return f"""(
        SELECT {columns} FROM otel.clew_definitions
        WHERE Id != '' AND Revision = (SELECT max(Revision) FROM otel.clew_definitions)
    )"""


def without_ids(text: str) -> str:
    """A message with ids and numbers replaced, so that similar messages are equal."""
    ids = r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|\\b(0x)?[0-9a-fA-F]*[0-9][0-9a-fA-F]*\\b|[0-9]+"
    return f"replaceRegexpAll({text}, '{ids}', '#')"


# The name of a record's level; for a record without one, a text that a variable can hold.
LEVEL = "if(Level = 0, 'unknown', clew_level_name(Level))"

# Columns have the names that the plugin expects for log records.
LOG_COLUMNS = """SELECT Timestamp AS timestamp, Body AS body, clew_level_name(Level) AS level,
            mapConcat(LogAttributes, map('service', ServiceName, 'severity', SeverityText, 'event', EventName, 'span', SpanId)) AS labels, TraceId AS traceID
        FROM otel.otel_logs"""


# Services


def served(where: str) -> str:
    """Requests to services as states by the minute: SERVER and CONSUMER spans, and roots."""
    return f"""(
        SELECT toDateTime(Minute) AS Minute, ServiceName, SpanName, SpanKind, ServiceVersion,
            Count, Errors, DurationSum, DurationMax, Sketch
        FROM otel.clew_operations_1m
        WHERE ({SERVER} OR IsRoot) AND {in_window("Minute")} AND {in_environment()} AND {where}
    )"""


def edges(where: str) -> str:
    """Who called whom by the minute; only the newest version of a minute counts."""
    return f"""(
        SELECT toDateTime(Minute) AS Minute, Source, Target, Type, Count, Errors, DurationSum, DurationMax, Sketch
        FROM otel.clew_edges_1m
        WHERE {in_window("Minute")} AND (Source != '' OR Target != '') AND {in_environment()} AND {where}
            AND (Minute, Version) IN (
                SELECT Minute, max(Version) FROM otel.clew_edges_1m WHERE {in_window("Minute")} GROUP BY Minute)
    )"""


def red(*quantiles_: str) -> str:
    """Columns for count, errors and duration, from states by the minute."""
    return f"""sum(Count) AS count, sum(Errors) AS errors, {share("errors", "count")} AS error_share,
        {quantiles("Sketch", *quantiles_)}, max(DurationMax) / 1e6 AS slowest"""


# Spans and log records one by one

AROUND_MS = 300_000  # before and after the time in the variable `around`
AROUND = f"""$__conditionalAll(Timestamp >= fromUnixTimestamp64Milli(toInt64(${{around:singlequote}}) - {AROUND_MS}), $around)
            AND $__conditionalAll(Timestamp <= fromUnixTimestamp64Milli(toInt64(${{around:singlequote}}) + {AROUND_MS}), $around)"""

# By the table's key, and then exactly.
LOGGED = f"""toStartOfFiveMinutes(Timestamp) >= toStartOfFiveMinutes($__fromTime)
            AND toStartOfFiveMinutes(Timestamp) <= toStartOfFiveMinutes($__toTime)
            AND {in_window("Timestamp")} AND {RESOURCE_IN_ENVIRONMENT}"""

STATE = label("cpu.mode", "system.cpu.state", "system.memory.state", "state")
BUSY = f"{STATE} NOT IN ('idle', 'iowait', 'steal')"
USED = f"{STATE} = 'used'"
DIRECTION = label("disk.io.direction", "network.io.direction", "direction")
DEVICE = label("system.device", "network.interface.name", "device")


def slots(metric: str, by: str, share_: float, where: str) -> str:
    """A histogram over time, for each `by`: the upper end of the bucket that so great a share of what
    came in lies below. Of cumulative points, each less the one before it."""
    return f"""SELECT time, label,
    arrayFirst((end, below) -> below >= {share_} * arraySum(counts), ends, arrayCumSum(counts)) AS value
FROM
(
    SELECT {by_step("TimeUnix")}, {by} AS label, any(Ends) AS ends,
        sumForEach(multiIf(AggregationTemporality = 1, BucketCounts,
            Nth = 1, if(IsNew, BucketCounts, arrayMap(b -> toUInt64(0), BucketCounts)),
            Count < Last OR length(LastBuckets) != length(BucketCounts), BucketCounts,
            arrayMap((b, l) -> toUInt64(greatest(0, toInt64(b) - toInt64(l))), BucketCounts, LastBuckets))) AS counts
    FROM
    (
        SELECT TimeUnix, Attributes, AggregationTemporality, Count, BucketCounts,
            arrayPushBack(ExplicitBounds, inf) AS Ends,
            {IS_NEW} AS IsNew, row_number() OVER run AS Nth, lagInFrame(Count) OVER run AS Last,
            lagInFrame(BucketCounts) OVER run AS LastBuckets
        FROM otel.otel_metrics_histogram
        WHERE MetricName = '{metric}' AND {RECORDED} AND length(BucketCounts) = length(ExplicitBounds) + 1 AND {where}
            AND TimeUnix >= $__fromTime - {PATIENCE} AND TimeUnix < $__toTime
        {run("Count")}
    )
    WHERE TimeUnix >= $__fromTime
    GROUP BY time, label
    HAVING arraySum(counts) > 0
)
ORDER BY time, label
LIMIT 50000"""


def exceptions(where: str) -> str:
    """Exceptions by service, type and message, as the API groups them; one that a span and a log record
    of that span both report counts once. A trace that began in the window may end after it."""
    each = " UNION ALL ".join(
        f"""SELECT ServiceName, TraceId, SpanId, {at} AS At, Type, Message
            FROM otel.clew_{table}_exceptions
            WHERE Timestamp >= $__fromTime AND Timestamp < $__toTime + 3600 AND {where}"""
        for table, at in (("span", "At"), ("log", "Timestamp"))
    )
    return f"""SELECT toString(ServiceName) AS service, Type AS type, {without_ids("Message")} AS message,
            uniqExact(TraceId, SpanId) AS count, max(At) AS last, argMax(TraceId, At) AS example
        FROM ({each})
        GROUP BY service, type, message
        ORDER BY count DESC, last DESC, service, type, message
        LIMIT 100"""
