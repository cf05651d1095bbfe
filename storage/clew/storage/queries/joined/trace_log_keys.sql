-- with entries
-- Which log records of the traces to show: errors first, then warnings, then the others; of each the newest of every {spread}
-- nanoseconds, before the second newest of any, so that they are spread over the window. What a trace's processes
-- wrote with its id may come before it or after it: 5 minutes are looked at. Of a frequent transaction the records
-- that are no errors are those of traces in the first {part} of every {stride} nanoseconds, and of 10 s more.
-- These are their keys: linked_logs reads the records. Read in one statement, each granule of the window was read.
SELECT toString(toStartOfFiveMinutes(Timestamp)) AS slot, ServiceName AS service, toString(Timestamp) AS time, TraceId AS trace_id, SpanId AS span_id, Level AS severity
FROM
(
    SELECT ServiceName, Timestamp, TraceId, SpanId, Level, multiIf(Level >= 17, 2, Level >= 13, 1, 0) AS gravity,
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
