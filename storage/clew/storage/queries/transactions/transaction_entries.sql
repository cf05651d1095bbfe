-- with entries
-- Occurrences of an automatic transaction, newest first.
SELECT TraceId AS trace_id, clew_time(Timestamp) AS start, Took / 1e6 AS duration_ms, IsError AS is_error
FROM entries
WHERE ({after_time:Nullable(DateTime64(9))} IS NULL
        OR Timestamp < {after_time:Nullable(DateTime64(9))}
        OR (Timestamp = {after_time:Nullable(DateTime64(9))} AND TraceId < {after_id:String}))
    AND ({is_error:Nullable(Bool)} IS NULL OR toBool(IsError) = {is_error:Nullable(Bool)})
    AND Took / 1e6 >= {min_duration_ms:Float64}
ORDER BY Timestamp DESC, TraceId DESC
LIMIT {limit:UInt32}
