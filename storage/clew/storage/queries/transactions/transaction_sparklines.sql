-- Some automatic transactions over time, by {step} seconds: each of {entries} is a service and an operation. Counted as in
-- transactions: from the rollups of hours (if the step is whole hours) and of minutes, from the root spans for the rest of the
-- window, and from the traces whose root never came.
SELECT
    clew_transaction_id(service, operation) AS id,
    ServiceName AS service,
    if((ServiceName, SpanName) IN (SELECT ServiceName, SpanName FROM otel.clew_other_operations), '(other)', SpanName) AS operation,
    clew_time(toStartOfInterval(counted.Time, toIntervalSecond({step:UInt32}))) AS time,
    sum(counted.Count) AS count,
    sum(counted.Errors) AS errors,
    quantilesDDMerge(0.01, 0.95)(counted.Sketch)[1] / 1e6 AS p95
FROM
(
    SELECT ServiceName, SpanName, Hour AS Time, Count, Errors, Sketch
    FROM otel.clew_operations_1h
    WHERE IsRoot AND ServiceName IN {services:Array(String)}
        AND Hour >= {first_hour:DateTime} AND Hour < {last_hour:DateTime}
        AND ({environment:Nullable(String)} IS NULL OR Environment = {environment:Nullable(String)})
    UNION ALL
    SELECT ServiceName, SpanName, Minute AS Time, Count, Errors, Sketch
    FROM otel.clew_operations_1m
    WHERE IsRoot AND ServiceName IN {services:Array(String)}
        AND Minute >= {first_minute:DateTime} AND Minute < {last_minute:DateTime}
        AND (Minute < {first_hour:DateTime} OR Minute >= {last_hour:DateTime})
        AND ({environment:Nullable(String)} IS NULL OR Environment = {environment:Nullable(String)})
    UNION ALL
    SELECT
        ServiceName, SpanName, clew_minute(Timestamp) AS Time, count(), countIf(clew_is_error(StatusCode)),
        quantilesDDState(0.01, 0.5, 0.9, 0.95, 0.99)(clew_duration(Duration))
    FROM otel.otel_traces
    WHERE ParentSpanId = '' AND ServiceName IN {services:Array(String)}
        AND Timestamp >= {start:DateTime64(9)} AND Timestamp < {end:DateTime64(9)}
        AND (Timestamp < {first_minute:DateTime} OR Timestamp >= {last_minute:DateTime})
        AND ({environment:Nullable(String)} IS NULL OR Environment = {environment:Nullable(String)})
    GROUP BY ServiceName, SpanName, Time
    UNION ALL
    SELECT
        toLowCardinality(Known.ServiceName), toLowCardinality(Known.SpanName), clew_minute(Entered) AS Time,
        count(), sum(Known.IsError),
        quantilesDDState(0.01, 0.5, 0.9, 0.95, 0.99)(Known.Duration)
    FROM
    (
        SELECT argMinMerge(Entry) AS Known, clew_entry_start(min(EntryKey)) AS Entered
        FROM otel.clew_traces
        WHERE TraceId IN (
            SELECT TraceId FROM otel.clew_traces
            WHERE TraceId IN (
                SELECT TraceId FROM otel.clew_traces
                WHERE clew_is_rootless(EntryKey) AND Start < {end:DateTime64(9)} AND End >= {start:DateTime64(9)})
            GROUP BY TraceId
            HAVING min(EntryKey) >= clew_rootless_key({start:DateTime64(9)})
                AND min(EntryKey) < clew_rootless_key({end:DateTime64(9)})
                AND clew_root_is_overdue(max(End)))
        GROUP BY TraceId
    )
    WHERE {environment:Nullable(String)} IS NULL OR Known.Environment = {environment:Nullable(String)}
    GROUP BY Known.ServiceName, Known.SpanName, Time
) AS counted
GROUP BY service, operation, time
HAVING (service, operation) IN {entries:Array(Tuple(String, String))}
ORDER BY service, operation, time
