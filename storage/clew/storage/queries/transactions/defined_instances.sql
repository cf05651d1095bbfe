-- Occurrences of a defined transaction: of a window, or the one with a key. They are in the order of {sort}: start
-- (the newest first), duration or value (the greatest first; those without one last). {sign} and {time_sign} are -1 to
-- reverse that. {by} says which of its durations is meant. A page begins after {after_rank} (the bits of a Float64),
-- {after_time} and {after_id}.
WITH multiIf(
        {by:String} = 'elapsed', toUnixTimestamp64Nano(End) - toUnixTimestamp64Nano(Start),
        {by:String} = 'working', toInt64(Working),
        toInt64(EntryDuration)) AS took,
    ifNull({sign:Int8} * multiIf({sort:String} = 'duration', toFloat64(took), {sort:String} = 'value', Value, 0), -inf) AS rank
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
    reinterpretAsInt64(rank) AS rank_bits,
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
        OR (rank, {time_sign:Int8} * toUnixTimestamp64Nano(Timestamp), Key)
            < (reinterpretAsFloat64({after_rank:Int64}), {time_sign:Int8} * ifNull(toUnixTimestamp64Nano({after_time:Nullable(DateTime64(9))}), 0), {after_id:String}))
    AND ({is_error:Nullable(Bool)} IS NULL OR IsError = {is_error:Nullable(Bool)})
    AND ({user:Nullable(String)} IS NULL OR User = {user:Nullable(String)})
    AND took / 1e6 BETWEEN {min_duration_ms:Float64} AND {max_duration_ms:Float64}
    /*filters*/
ORDER BY rank DESC, {time_sign:Int8} * toUnixTimestamp64Nano(Timestamp) DESC, Key DESC
LIMIT {limit:UInt32}
