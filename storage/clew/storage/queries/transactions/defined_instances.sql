-- Occurrences of a defined transaction, newest first: of a window, or the one with a key.
SELECT
    Key AS key,
    TraceIds AS trace_ids,
    clew_time(Timestamp) AS at,
    clew_time(Start) AS start,
    clew_time(End) AS end,
    (toUnixTimestamp64Nano(End) - toUnixTimestamp64Nano(Start)) / 1e6 AS duration_ms,
    Working / 1e6 AS working_ms,
    EntryDuration / 1e6 AS entry_duration_ms,
    IsError AS is_error,
    Attempts AS attempts,
    User AS user,
    Value AS value,
    arraySort(Services) AS services,
    SpanCount AS span_count,
    ErrorCount AS error_count,
    arrayMap(
        (number, service, start, duration, is_error, trace_id) -> (
            number, toString(service), clew_time(start), duration / 1e6, is_error, trace_id),
        Step.Number, Step.Service, Step.Start, Step.Duration, Step.IsError, Step.TraceId)
        ::Array(Tuple(number UInt8, service String, time String, duration_ms Float64, is_error Bool, trace_id String)) AS steps
FROM otel.clew_occurrences FINAL
PREWHERE Transaction = {defined:String}
    AND ({key:Nullable(String)} IS NULL OR Key = {key:Nullable(String)})
    AND Timestamp >= {start:DateTime64(9)} AND Timestamp < {end:DateTime64(9)}
WHERE ({environment:Nullable(String)} IS NULL OR Environment = {environment:Nullable(String)})
    AND ({after_time:Nullable(DateTime64(9))} IS NULL
        OR Timestamp < {after_time:Nullable(DateTime64(9))}
        OR (Timestamp = {after_time:Nullable(DateTime64(9))} AND Key < {after_id:String}))
    AND ({is_error:Nullable(Bool)} IS NULL OR IsError = {is_error:Nullable(Bool)})
    AND ({user:Nullable(String)} IS NULL OR User = {user:Nullable(String)})
    AND (toUnixTimestamp64Nano(End) - toUnixTimestamp64Nano(Start)) / 1e6 >= {min_duration_ms:Float64}
ORDER BY Timestamp DESC, Key DESC
LIMIT {limit:UInt32}
