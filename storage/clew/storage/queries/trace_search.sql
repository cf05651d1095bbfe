-- The newest traces that match; {filters} stands for what filters.attribute_filters made of the
-- request. A trace that began before the window may be among them (a part of it lies inside), and
-- is left out by who reads the traces as wholes.
SELECT TraceId AS trace_id, clew_time(min(traces.Start)) AS start
FROM otel.clew_traces AS traces
WHERE Start < {end:DateTime64(9)} + toIntervalHour(1) AND End >= {start:DateTime64(9)}
    AND (NOT {by_span:Bool} OR TraceId IN (
        SELECT TraceId FROM otel.otel_traces
        WHERE {by_span:Bool}
            AND Timestamp >= {start:DateTime64(9)} AND Timestamp < {end:DateTime64(9)} + toIntervalHour(1)
            AND ({service:Nullable(String)} IS NULL OR ServiceName = {service:Nullable(String)})
            AND ({operation:Nullable(String)} IS NULL OR SpanName = {operation:Nullable(String)})
            AND ({is_error:Nullable(Bool)} IS NULL
                OR (StatusCode IN ('Error', 'STATUS_CODE_ERROR')) = {is_error:Nullable(Bool)})
            AND ({environment:Nullable(String)} IS NULL
                OR Environment = {environment:Nullable(String)})
            /*filters*/))
    AND (NOT {by_transaction:Bool} OR TraceId IN (
        SELECT TraceId FROM otel.clew_entries_between(
            service = {entry_service:String}, operation = {entry_operation:String},
            start = {start:DateTime64(9)}, end = {end:DateTime64(9)})
        WHERE {by_transaction:Bool}))
GROUP BY TraceId
HAVING min(traces.Start) >= {start:DateTime64(9)} AND min(traces.Start) < {end:DateTime64(9)}
    AND ({after_time:Nullable(DateTime64(9))} IS NULL
        OR min(traces.Start) < {after_time:Nullable(DateTime64(9))}
        OR (min(traces.Start) = {after_time:Nullable(DateTime64(9))} AND TraceId < {after_id:String}))
    AND ({min_duration_ms:Nullable(Float64)} IS NULL OR
        (toUnixTimestamp64Nano(max(traces.End)) - toUnixTimestamp64Nano(min(traces.Start))) / 1e6 >= {min_duration_ms:Nullable(Float64)})
    AND ({max_duration_ms:Nullable(Float64)} IS NULL OR
        (toUnixTimestamp64Nano(max(traces.End)) - toUnixTimestamp64Nano(min(traces.Start))) / 1e6 <= {max_duration_ms:Nullable(Float64)})
ORDER BY min(traces.Start) DESC, TraceId DESC
LIMIT {limit:UInt32}
