-- Rate, errors and duration of every service's operations, exactly: whole minutes from the rollup, the minutes that
-- the window cuts from the spans themselves. Before them come the services as wholes (is_total): the requests that
-- they received, and their other operations.
SELECT
    grouping(operation) = 1 AS is_total,
    clew_is_entry_kind(SpanKind) AS is_received,
    ServiceName AS service,
    SpanName AS operation,
    SpanKind AS kind,
    sum(Count) AS count,
    sum(rollup.Errors) AS errors,
    arrayMap(nanoseconds -> nanoseconds / 1e6, quantilesDDMerge(0.01, 0.5, 0.9, 0.95, 0.99)(Sketch)) AS quantiles,
    max(DurationMax) / 1e6 AS max
FROM
(
    SELECT Minute, Environment, ServiceVersion, ServiceName, SpanName, SpanKind, IsRoot,
           Count, Errors, Satisfied, Tolerating, DurationSum, DurationMax, Sketch
    FROM otel.clew_operations_1m
    WHERE Minute >= toStartOfMinute({start:DateTime64(9)} + toIntervalNanosecond(59999999999))
        AND Minute < toStartOfMinute({end:DateTime64(9)})
    UNION ALL
    SELECT
        clew_minute(Timestamp) AS Minute,
        Environment,
        ServiceVersion,
        ServiceName,
        SpanName,
        SpanKind,
        ParentSpanId = '' AS IsRoot,
        count() AS Count,
        countIf(clew_is_error(StatusCode)) AS Errors,
        countIf(clew_is_satisfied(clew_duration(Duration))) AS Satisfied,
        countIf(clew_is_tolerating(clew_duration(Duration))) AS Tolerating,
        sum(clew_duration(Duration)) AS DurationSum,
        max(clew_duration(Duration)) AS DurationMax,
        quantilesDDState(0.01, 0.5, 0.9, 0.95, 0.99)(clew_duration(Duration)) AS Sketch
    FROM otel.otel_traces
    WHERE (Timestamp >= {start:DateTime64(9)}
            AND Timestamp < least({end:DateTime64(9)},
                toStartOfMinute({start:DateTime64(9)} + toIntervalNanosecond(59999999999))))
        OR (Timestamp >= greatest({start:DateTime64(9)}, toStartOfMinute({end:DateTime64(9)}))
            AND Timestamp < {end:DateTime64(9)})
    GROUP BY Minute, Environment, ServiceVersion, ServiceName, SpanName, SpanKind, IsRoot
) AS rollup
WHERE ({environment:Nullable(String)} IS NULL OR Environment = {environment:Nullable(String)})
    AND ({service:Nullable(String)} IS NULL OR ServiceName = {service:Nullable(String)})
GROUP BY GROUPING SETS ((service, operation, kind), (service, is_received))
ORDER BY is_total DESC, service, is_received, count DESC, operation, kind
LIMIT {limit:UInt32}
