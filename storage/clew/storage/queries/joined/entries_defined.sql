-- The traces of the occurrences of a defined transaction. (Columns as in entries_traces.)
WITH entries AS
(
    SELECT arrayJoin(TraceIds) AS TraceId, Timestamp, EntryDuration AS Took, toUInt8(IsError) AS IsError,
        toUInt8(TraceId = EntryTraceId) AS Last,
        toUInt8(TraceId = if(has(Step.IsError, true), Step.TraceId[indexOf(Step.IsError, true)], EntryTraceId)) AS Failed,
        cityHash64(Key) AS Instance
    FROM otel.clew_occurrences FINAL
    PREWHERE Transaction = {defined:String}
        AND Timestamp >= {start:DateTime64(9)} AND Timestamp < {end:DateTime64(9)}
    WHERE {environment:Nullable(String)} IS NULL OR Environment = {environment:Nullable(String)}
)
