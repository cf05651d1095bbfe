-- The attributes of what was inserted between two times, in one of so many spans and log records: each
-- key, its most frequent values with how often they came (scaled up), and how often the key came.
-- A value that is too long to be offered counts for its key alone, under an empty one.
WITH
pairs AS
(
    SELECT toStartOfHour(clew_minute(Timestamp)) AS hour, 'span' AS source, toString(ServiceName) AS service,
        {spans_in:UInt64} AS weight, arrayJoin(CAST(SpanAttributes, 'Array(Tuple(String, String))')) AS pair
    FROM otel.otel_traces
    WHERE InsertedAt >= {since:DateTime} AND InsertedAt < {until:DateTime}
        AND modulo(cityHash64(SpanId), {spans_in:UInt64}) = 0
    UNION ALL
    SELECT toStartOfHour(clew_minute(Timestamp)), 'resource', toString(ServiceName),
        {spans_in:UInt64}, arrayJoin(CAST(ResourceAttributes, 'Array(Tuple(String, String))'))
    FROM otel.otel_traces
    WHERE InsertedAt >= {since:DateTime} AND InsertedAt < {until:DateTime}
        AND modulo(cityHash64(SpanId), {spans_in:UInt64}) = 0
    UNION ALL
    SELECT toStartOfHour(clew_minute(Timestamp)), 'log', toString(ServiceName),
        {logs_in:UInt64}, arrayJoin(CAST(LogAttributes, 'Array(Tuple(String, String))'))
    FROM otel.otel_logs
    WHERE InsertedAt >= {since:DateTime} AND InsertedAt < {until:DateTime}
        AND modulo(cityHash64(Timestamp, SpanId), {logs_in:UInt64}) = 0
    UNION ALL
    SELECT toStartOfHour(clew_minute(Timestamp)), 'resource', toString(ServiceName),
        {logs_in:UInt64}, arrayJoin(CAST(ResourceAttributes, 'Array(Tuple(String, String))'))
    FROM otel.otel_logs
    WHERE InsertedAt >= {since:DateTime} AND InsertedAt < {until:DateTime}
        AND modulo(cityHash64(Timestamp, SpanId), {logs_in:UInt64}) = 0
)
SELECT
    toUnixTimestamp(hour) AS hour,
    source,
    pair.1 AS key,
    service,
    if(lengthUTF8(pair.2) > {longest:UInt64}, '', pair.2) AS value,
    sum(weight) AS count,
    sum(count) OVER (PARTITION BY hour, source, key, service) AS total
FROM pairs
GROUP BY hour, source, key, service, value
ORDER BY count DESC, value
LIMIT {values:UInt64} BY hour, source, key, service
