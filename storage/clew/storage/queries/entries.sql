-- The entries of the traces that an answer is about: those named by their ids; of an automatic transaction
-- its roots, and where one never came what the trace is known by; of a defined one the traces of its
-- occurrences. What a request is not about is left out by a parameter that is false, and nothing of it
-- is read. Took is how long the transaction took in nanoseconds; Last says that the entry that counts is in
-- this trace (an occurrence may have several).
WITH entries AS
(
    SELECT arrayJoin({trace_ids:Array(String)}) AS TraceId, {start:DateTime64(9)} AS Timestamp,
        toUInt64(0) AS Took, toUInt8(0) AS IsError, toUInt8(1) AS Last
    UNION ALL
    SELECT TraceId, Timestamp, clew_duration(Duration), StatusCode IN ('Error', 'STATUS_CODE_ERROR'), 1
    FROM otel.otel_traces
    WHERE {automatic:Bool} AND ServiceName = {service:String} AND ParentSpanId = ''
        AND ({named:Bool} AND SpanName IN {names:Array(String)} OR NOT {named:Bool} AND SpanName NOT IN {names:Array(String)})
        AND Timestamp >= {start:DateTime64(9)} AND Timestamp < {end:DateTime64(9)}
        AND ({environment:Nullable(String)} IS NULL OR Environment = {environment:Nullable(String)})
    UNION ALL
    SELECT TraceId, fromUnixTimestamp64Nano(toInt64(bitAnd(min(EntryKey), 4611686018427387903))),
        argMinMerge(Entry).Duration, argMinMerge(Entry).IsError, 1
    FROM otel.clew_traces
    WHERE {rootless:Bool} AND TraceId IN (
        SELECT TraceId FROM otel.clew_traces
        WHERE {rootless:Bool} AND EntryKey >= 4611686018427387904
            AND Start < {end:DateTime64(9)} AND End >= {start:DateTime64(9)})
    GROUP BY TraceId
    HAVING min(EntryKey) >= 4611686018427387904 + toUnixTimestamp64Nano({start:DateTime64(9)})
        AND min(EntryKey) < 4611686018427387904 + toUnixTimestamp64Nano({end:DateTime64(9)})
        AND max(End) < now64(9) - toIntervalSecond(10)
        AND argMinMerge(Entry).ServiceName = {service:String}
        AND has({names:Array(String)}, argMinMerge(Entry).SpanName) = {named:Bool}
        AND ({environment:Nullable(String)} IS NULL OR argMinMerge(Entry).Environment = {environment:Nullable(String)})
    UNION ALL
    SELECT arrayJoin(TraceIds) AS Id, Timestamp, EntryDuration, toUInt8(IsError), Id = EntryTraceId
    FROM otel.clew_occurrences FINAL
    WHERE {defined:String} != '' AND Transaction = {defined:String}
        AND Timestamp >= {start:DateTime64(9)} AND Timestamp < {end:DateTime64(9)}
        AND ({environment:Nullable(String)} IS NULL OR Environment = {environment:Nullable(String)})
)
