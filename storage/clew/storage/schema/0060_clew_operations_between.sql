-- Operations between two times, exactly: whole minutes from the rollup, the minutes that the window
-- cuts from the spans themselves. Rows are states, to be merged by who reads them.
CREATE VIEW IF NOT EXISTS otel.clew_operations_between AS
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
