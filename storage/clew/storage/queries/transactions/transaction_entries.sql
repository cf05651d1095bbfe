-- with entries
-- Occurrences of an automatic transaction, sorted and paged as in defined_instances. They have no value, and one
-- duration, that of their entry.
SELECT
    TraceId AS trace_id,
    clew_time(Timestamp) AS start,
    Took / 1e6 AS duration_ms,
    IsError AS is_error,
    {sign:Int8} * if({sort:String} = 'duration', toFloat64(Took), 0) AS rank,
    reinterpretAsInt64(rank) AS rank_bits
FROM entries
WHERE ({after_time:Nullable(DateTime64(9))} IS NULL
        OR (rank, {time_sign:Int8} * toUnixTimestamp64Nano(Timestamp), TraceId)
            < (reinterpretAsFloat64({after_rank:Int64}), {time_sign:Int8} * ifNull(toUnixTimestamp64Nano({after_time:Nullable(DateTime64(9))}), 0), {after_id:String}))
    AND ({is_error:Nullable(Bool)} IS NULL OR toBool(IsError) = {is_error:Nullable(Bool)})
    AND Took / 1e6 BETWEEN {min_duration_ms:Float64} AND {max_duration_ms:Float64}
    /*filters*/
ORDER BY rank DESC, {time_sign:Int8} * toUnixTimestamp64Nano(Timestamp) DESC, TraceId DESC
LIMIT {limit:UInt32}
