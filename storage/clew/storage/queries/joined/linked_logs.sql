-- with entries
-- Log records of the traces: errors first, then warnings, then the others; of each the newest of every {spread}
-- nanoseconds, before the second newest of any, so that they are spread over the window. What a trace's processes
-- wrote with its id may come before it or after it: 5 minutes are looked at. Of a frequent transaction the records
-- that are no errors are those of traces in the first {part} of every {stride} nanoseconds, and of 10 s more.
SELECT
    clew_time(Timestamp) AS time,
    clew_severity(SeverityText, Level) AS severity,
    clew_level_name(Level) AS level,
    EventName AS event_name,
    ServiceName AS service,
    Body AS body,
    LogAttributes AS attributes,
    TraceId AS trace_id,
    SpanId AS span_id,
    'trace' AS linked_by,
    multiIf(Level >= 17, 2, Level >= 13, 1, 0) AS gravity
FROM otel.otel_logs
WHERE toStartOfFiveMinutes(Timestamp) >= toStartOfFiveMinutes({from:DateTime64(9)}) - toIntervalMinute(5)
    AND toStartOfFiveMinutes(Timestamp) <= toStartOfFiveMinutes({to:DateTime64(9)}) + toIntervalMinute(5)
    AND (Timestamp, TraceId, SpanId, Level) IN
    (
        SELECT Timestamp, TraceId, SpanId, Level
        FROM
        (
            SELECT Timestamp, TraceId, SpanId, Level, multiIf(Level >= 17, 2, Level >= 13, 1, 0) AS gravity,
                row_number() OVER (
                    PARTITION BY gravity, intDiv(toUnixTimestamp64Nano(Timestamp) - toUnixTimestamp64Nano({start:DateTime64(9)}), {spread:UInt64})
                    ORDER BY Timestamp DESC, TraceId, SpanId) AS place
            FROM otel.otel_logs
            WHERE toStartOfFiveMinutes(Timestamp) >= toStartOfFiveMinutes({from:DateTime64(9)}) - toIntervalMinute(5)
                AND toStartOfFiveMinutes(Timestamp) <= toStartOfFiveMinutes({to:DateTime64(9)}) + toIntervalMinute(5)
                AND TraceId != ''
                AND (
                    modulo(toUnixTimestamp64Nano(Timestamp) - toUnixTimestamp64Nano({start:DateTime64(9)}), {stride:UInt64}) < {part:UInt64} + 10000000000
                        AND TraceId IN (
                            SELECT TraceId FROM entries
                            WHERE modulo(toUnixTimestamp64Nano(Timestamp) - toUnixTimestamp64Nano({start:DateTime64(9)}), {stride:UInt64}) < {part:UInt64})
                    OR {sliced:Bool} AND Level >= 17
                        AND TraceId IN (
                            SELECT TraceId FROM entries
                            WHERE {sliced:Bool} AND TraceId IN (
                                SELECT TraceId FROM otel.otel_logs
                                WHERE toStartOfFiveMinutes(Timestamp) >= toStartOfFiveMinutes({from:DateTime64(9)}) - toIntervalMinute(5)
                                    AND toStartOfFiveMinutes(Timestamp) <= toStartOfFiveMinutes({to:DateTime64(9)}) + toIntervalMinute(5)
                                    AND Level >= 17 AND TraceId != '')))
        )
        ORDER BY gravity DESC, place, Timestamp DESC, TraceId, SpanId
        LIMIT {limit:UInt32}
    )
ORDER BY gravity DESC, Timestamp DESC, service, trace_id, span_id, body
LIMIT {limit:UInt32}
