-- with entries
-- The log records that belong to some traces: those with a trace's id, up to 5 minutes before and after, and those without a
-- trace from some processes. Of a long window the latter are, but for errors, of the first {process_part} of every
-- {process_stride} nanoseconds. (PREWHERE: the Map with the process is read of no other granules.)
, records AS
(
    SELECT ServiceName, Timestamp, TraceId, SpanId, Level
    FROM otel.otel_logs
    PREWHERE toStartOfFiveMinutes(Timestamp) >= toStartOfFiveMinutes({from:DateTime64(9)}) - toIntervalMinute(5)
        AND toStartOfFiveMinutes(Timestamp) <= toStartOfFiveMinutes({to:DateTime64(9)}) + toIntervalMinute(5)
        AND (TraceId = ''
            AND Timestamp >= {start:DateTime64(9)} AND Timestamp <= {end:DateTime64(9)}
            AND ServiceName IN {services:Array(String)}
            AND (Level >= 17 OR modulo(toUnixTimestamp64Nano(Timestamp) - toUnixTimestamp64Nano({start:DateTime64(9)}), {process_stride:UInt64}) < {process_part:UInt64})
            OR TraceId != '' AND TraceId IN (SELECT TraceId FROM entries))
    WHERE TraceId != '' OR (ServiceName, ResourceAttributes['service.instance.id']) IN {processes:Array(Tuple(String, String))}
)
