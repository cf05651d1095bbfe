-- Occurrences of one transaction, newest first.
SELECT TraceId AS trace_id, clew_time(Timestamp) AS start, DurationNs / 1e6 AS duration_ms, IsError AS is_error
FROM otel.clew_entries_between(
    service = {service:String}, operation = {operation:String},
    start = {start:DateTime64(9)}, end = {end:DateTime64(9)})
WHERE ({environment:Nullable(String)} IS NULL OR Environment = {environment:Nullable(String)})
    AND ({after_time:Nullable(DateTime64(9))} IS NULL
        OR Timestamp < {after_time:Nullable(DateTime64(9))}
        OR (Timestamp = {after_time:Nullable(DateTime64(9))} AND TraceId < {after_id:String}))
ORDER BY Timestamp DESC, TraceId DESC
LIMIT {limit:UInt32}
