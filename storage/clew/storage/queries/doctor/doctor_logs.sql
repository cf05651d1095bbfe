-- Log records of services that send spans, and how many of them have no trace id.
SELECT
    ServiceName AS service,
    count() AS records,
    countIf(TraceId = '') AS without_trace
FROM otel.otel_logs
WHERE toStartOfFiveMinutes(Timestamp) >= toStartOfFiveMinutes({start:DateTime64(9)})
    AND Timestamp >= {start:DateTime64(9)} AND Timestamp < {end:DateTime64(9)}
    AND ({environment:Nullable(String)} IS NULL
        OR clew_environment(ResourceAttributes) = {environment:Nullable(String)})
    AND ServiceName IN
    (
        SELECT ServiceName
        FROM otel.clew_operations_1m
        WHERE Minute >= toStartOfMinute({start:DateTime64(9)}) AND Minute < {end:DateTime64(9)}
            AND clew_is_entry_kind(SpanKind)
    )
GROUP BY service
ORDER BY without_trace DESC, service
LIMIT {limit:UInt32}
