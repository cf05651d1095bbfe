-- with entries
-- As log_records_all, of a frequent transaction: the records with a trace's id that are no errors are those of traces in the
-- first {part} of every {stride} nanoseconds, and of 10 s more.
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
            OR TraceId != ''
            AND (
                modulo(toUnixTimestamp64Nano(Timestamp) - toUnixTimestamp64Nano({start:DateTime64(9)}), {stride:UInt64}) < {part:UInt64} + 10000000000
                    AND TraceId IN (
                        SELECT TraceId FROM entries
                        WHERE modulo(toUnixTimestamp64Nano(Timestamp) - toUnixTimestamp64Nano({start:DateTime64(9)}), {stride:UInt64}) < {part:UInt64})
                OR Level >= 17
                    AND TraceId IN (
                        SELECT TraceId FROM entries
                        WHERE TraceId IN (
                            SELECT TraceId FROM otel.otel_logs
                            WHERE toStartOfFiveMinutes(Timestamp) >= toStartOfFiveMinutes({from:DateTime64(9)}) - toIntervalMinute(5)
                                AND toStartOfFiveMinutes(Timestamp) <= toStartOfFiveMinutes({to:DateTime64(9)}) + toIntervalMinute(5)
                                AND Level >= 17 AND TraceId != ''))))
    WHERE TraceId != '' OR (ServiceName, ResourceAttributes['service.instance.id']) IN {processes:Array(Tuple(String, String))}
)
