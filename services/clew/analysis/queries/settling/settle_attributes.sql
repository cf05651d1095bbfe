-- The attributes of spans and log records that were inserted between two times, counted in one of {spans_in} spans
-- and one of {logs_in} log records and scaled up: for each key its most frequent values with their counts, and the
-- count of the key. A value longer than {longest} characters counts for its key, under an empty value.
WITH
pairs AS
(
    SELECT toStartOfHour(clew_minute(Timestamp)) AS hour, 'span' AS source, toString(ServiceName) AS service,
        {spans_in:UInt64} AS weight, arrayJoin(CAST(SpanAttributes, 'Array(Tuple(key String, value String))')) AS pair
    FROM otel.otel_traces
    WHERE InsertedAt >= {since:DateTime} AND InsertedAt < {until:DateTime}
        AND modulo(cityHash64(SpanId), {spans_in:UInt64}) = 0
    UNION ALL
    SELECT toStartOfHour(clew_minute(Timestamp)), 'resource', toString(ServiceName),
        {spans_in:UInt64}, arrayJoin(CAST(ResourceAttributes, 'Array(Tuple(key String, value String))'))
    FROM otel.otel_traces
    WHERE InsertedAt >= {since:DateTime} AND InsertedAt < {until:DateTime}
        AND modulo(cityHash64(SpanId), {spans_in:UInt64}) = 0
    UNION ALL
    SELECT toStartOfHour(clew_minute(Timestamp)), 'log', toString(ServiceName),
        {logs_in:UInt64}, arrayJoin(CAST(LogAttributes, 'Array(Tuple(key String, value String))'))
    FROM otel.otel_logs
    WHERE InsertedAt >= {since:DateTime} AND InsertedAt < {until:DateTime}
        AND modulo(cityHash64(Timestamp, SpanId), {logs_in:UInt64}) = 0
    UNION ALL
    SELECT toStartOfHour(clew_minute(Timestamp)), 'resource', toString(ServiceName),
        {logs_in:UInt64}, arrayJoin(CAST(ResourceAttributes, 'Array(Tuple(key String, value String))'))
    FROM otel.otel_logs
    WHERE InsertedAt >= {since:DateTime} AND InsertedAt < {until:DateTime}
        AND modulo(cityHash64(Timestamp, SpanId), {logs_in:UInt64}) = 0
)
SELECT
    toUnixTimestamp(hour) AS hour,
    source,
    pair.key AS key,
    service,
    if(lengthUTF8(pair.value) > {longest:UInt64}, '', pair.value) AS value,
    sum(weight) AS count,
    sum(count) OVER (PARTITION BY hour, source, key, service) AS total
FROM pairs
GROUP BY hour, source, key, service, value
ORDER BY count DESC, value
LIMIT {values:UInt64} BY hour, source, key, service
