-- The automatic transactions of a window, the most frequent first: root spans, from the rollups for whole hours and
-- minutes and from the spans for the rest of the window; and traces whose root never came. Such a trace counts once
-- its last span ended more than 10 s ago, since a root ends last and is received last. A trace whose rows are not
-- merged yet may lack its root in one of them: its keys are compared over all rows before an entry is read.
-- One flat statement: it is planned in 25 ms, views within views took 77.
WITH others AS
(
    SELECT ServiceName, SpanName
    FROM otel.clew_operations
    WHERE IsRoot OR SpanKind IN ('Server', 'Consumer', 'SPAN_KIND_SERVER', 'SPAN_KIND_CONSUMER')
    GROUP BY ServiceName, SpanName
    ORDER BY max(IsRoot) DESC, min(FirstSeen), SpanName
    LIMIT 1000000 OFFSET 200 BY ServiceName
)
SELECT
    clew_transaction_id(service, operation) AS id,
    ServiceName AS service,
    if((ServiceName, SpanName) IN (SELECT ServiceName, SpanName FROM others), '(other)', SpanName) AS operation,
    sum(counted.Count) AS count,
    sum(counted.Errors) AS errors,
    sum(counted.Satisfied) AS satisfied,
    sum(counted.Tolerating) AS tolerating,
    arrayMap(nanoseconds -> nanoseconds / 1e6, quantilesDDMerge(0.01, 0.5, 0.9, 0.95, 0.99)(counted.Sketch)) AS quantiles,
    max(counted.DurationMax) / 1e6 AS max
FROM
(
    SELECT ServiceName, SpanName, Count, Errors, Satisfied, Tolerating, Sketch, DurationMax
    FROM otel.clew_operations_1h
    WHERE IsRoot AND Hour >= {first_hour:DateTime} AND Hour < {last_hour:DateTime}
        AND ({environment:Nullable(String)} IS NULL OR Environment = {environment:Nullable(String)})
    UNION ALL
    SELECT ServiceName, SpanName, Count, Errors, Satisfied, Tolerating, Sketch, DurationMax
    FROM otel.clew_operations_1m
    WHERE IsRoot AND Minute >= {first_minute:DateTime} AND Minute < {last_minute:DateTime}
        AND (Minute < {first_hour:DateTime} OR Minute >= {last_hour:DateTime})
        AND ({environment:Nullable(String)} IS NULL OR Environment = {environment:Nullable(String)})
    UNION ALL
    SELECT
        ServiceName, SpanName, count(), countIf(StatusCode IN ('Error', 'STATUS_CODE_ERROR')),
        countIf(clew_duration(Duration) <= 500000000),
        countIf(clew_duration(Duration) > 500000000 AND clew_duration(Duration) <= 2000000000),
        quantilesDDState(0.01, 0.5, 0.9, 0.95, 0.99)(clew_duration(Duration)),
        max(clew_duration(Duration))
    FROM otel.otel_traces
    WHERE ParentSpanId = '' AND Timestamp >= {start:DateTime64(9)} AND Timestamp < {end:DateTime64(9)}
        AND (Timestamp < {first_minute:DateTime} OR Timestamp >= {last_minute:DateTime})
        AND ({environment:Nullable(String)} IS NULL OR Environment = {environment:Nullable(String)})
    GROUP BY ServiceName, SpanName
    UNION ALL
    SELECT
        toLowCardinality(Known.ServiceName), toLowCardinality(Known.SpanName), count(), sum(Known.IsError),
        countIf(Known.Duration <= 500000000),
        countIf(Known.Duration > 500000000 AND Known.Duration <= 2000000000),
        quantilesDDState(0.01, 0.5, 0.9, 0.95, 0.99)(Known.Duration),
        max(Known.Duration)
    FROM
    (
        SELECT argMinMerge(Entry) AS Known
        FROM otel.clew_traces
        WHERE TraceId IN (
            SELECT TraceId FROM otel.clew_traces
            WHERE TraceId IN (
                SELECT TraceId FROM otel.clew_traces
                WHERE EntryKey >= 4611686018427387904 AND Start < {end:DateTime64(9)} AND End >= {start:DateTime64(9)})
            GROUP BY TraceId
            HAVING min(EntryKey) >= 4611686018427387904 + toUnixTimestamp64Nano({start:DateTime64(9)})
                AND min(EntryKey) < 4611686018427387904 + toUnixTimestamp64Nano({end:DateTime64(9)})
                AND max(End) < now64(9) - toIntervalSecond(10))
        GROUP BY TraceId
    )
    WHERE {environment:Nullable(String)} IS NULL OR Known.Environment = {environment:Nullable(String)}
    GROUP BY Known.ServiceName, Known.SpanName
) AS counted
GROUP BY service, operation
HAVING {after_count:Nullable(UInt64)} IS NULL
    OR count < {after_count:Nullable(UInt64)}
    OR (count = {after_count:Nullable(UInt64)} AND id > {after_id:String})
ORDER BY count DESC, id
LIMIT {limit:UInt32}
