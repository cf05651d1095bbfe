-- with logged
-- Log records of the whole window: those with the id of one of the traces, up to 5 minutes before and after, of the {least} level
-- or above, and those without an id from some processes, of the {process_least} level or above. (Two reads: the first needs
-- no Map, and where few records have the level that is half of the time.)
, records AS
(
    SELECT ServiceName, Timestamp, TraceId, SpanId, Level
    FROM otel.otel_logs
    PREWHERE toStartOfFiveMinutes(Timestamp) >= toStartOfFiveMinutes({from:DateTime64(9)}) - toIntervalMinute(5)
        AND toStartOfFiveMinutes(Timestamp) <= toStartOfFiveMinutes({to:DateTime64(9)}) + toIntervalMinute(5)
        AND Level >= {least:UInt8} AND TraceId != '' AND TraceId IN (SELECT TraceId FROM logged)
    UNION ALL
    SELECT ServiceName, Timestamp, TraceId, SpanId, Level
    FROM otel.otel_logs
    PREWHERE toStartOfFiveMinutes(Timestamp) >= toStartOfFiveMinutes({start:DateTime64(9)})
        AND Timestamp >= {start:DateTime64(9)} AND Timestamp <= {end:DateTime64(9)}
        AND Level >= {process_least:UInt8} AND TraceId = '' AND ServiceName IN {services:Array(String)}
    WHERE (ServiceName, ResourceAttributes['service.instance.id']) IN {processes:Array(Tuple(String, String))}
)
