-- The entries of an automatic transaction: its roots, and where one never came what the trace is known by.
-- (Columns as in entries_traces.)
WITH entries AS
(
    SELECT TraceId, Timestamp, clew_duration(Duration) AS Took, StatusCode IN ('Error', 'STATUS_CODE_ERROR') AS IsError,
        toUInt8(1) AS Last
    FROM otel.otel_traces
    WHERE ServiceName = {service:String} AND ParentSpanId = '' AND SpanName IN {names:Array(String)}
        AND Timestamp >= {start:DateTime64(9)} AND Timestamp < {end:DateTime64(9)}
        AND ({environment:Nullable(String)} IS NULL OR Environment = {environment:Nullable(String)})
    UNION ALL
    SELECT TraceId, fromUnixTimestamp64Nano(toInt64(bitAnd(min(EntryKey), 4611686018427387903))),
        argMinMerge(Entry).Duration, argMinMerge(Entry).IsError, 1
    FROM otel.clew_traces
    WHERE TraceId IN (
        SELECT TraceId FROM otel.clew_traces
        WHERE TraceId IN (
            SELECT TraceId FROM otel.clew_traces
            WHERE EntryKey >= 4611686018427387904 AND Start < {end:DateTime64(9)} AND End >= {start:DateTime64(9)})
        GROUP BY TraceId
        HAVING min(EntryKey) >= 4611686018427387904 + toUnixTimestamp64Nano({start:DateTime64(9)})
            AND min(EntryKey) < 4611686018427387904 + toUnixTimestamp64Nano({end:DateTime64(9)})
            AND max(End) < now64(9) - toIntervalSecond(10))
    GROUP BY TraceId
    HAVING argMinMerge(Entry).ServiceName = {service:String}
        AND argMinMerge(Entry).SpanName IN {names:Array(String)}
        AND ({environment:Nullable(String)} IS NULL OR argMinMerge(Entry).Environment = {environment:Nullable(String)})
)
