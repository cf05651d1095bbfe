-- with entries
-- Log records in the {slots} of five minutes, of each in its first {part} nanoseconds: those with the id of a trace that entered
-- there too (up to 10 s later), and those without an id from some processes. (PREWHERE: the Map with the process is
-- read of no other granules.)
, records AS
(
    SELECT ServiceName, Timestamp, TraceId, SpanId, Level
    FROM otel.otel_logs
    PREWHERE toStartOfFiveMinutes(Timestamp) IN {slots:Array(DateTime)}
        AND modulo(toUnixTimestamp64Nano(Timestamp), 300000000000) < {part:UInt64} + 10000000000
        AND (TraceId = ''
            AND Timestamp >= {start:DateTime64(9)} AND Timestamp <= {end:DateTime64(9)}
            AND ServiceName IN {services:Array(String)}
            OR TraceId != '' AND TraceId IN (
                SELECT TraceId FROM entries
                WHERE toStartOfFiveMinutes(Timestamp) IN {slots:Array(DateTime)}
                    AND modulo(toUnixTimestamp64Nano(Timestamp), 300000000000) < {part:UInt64}))
    WHERE TraceId != '' OR (ServiceName, ResourceAttributes['service.instance.id']) IN {processes:Array(Tuple(String, String))}
)
