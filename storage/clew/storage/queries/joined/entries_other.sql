-- The entries of what a service has beyond its first 200 names, as entries_rootless has those of one.
WITH entries AS
(
    SELECT TraceId, Timestamp, clew_duration(Duration) AS Took, clew_is_error(StatusCode) AS IsError,
        toUInt8(1) AS Last, toUInt8(1) AS Failed, cityHash64(TraceId) AS Instance
    FROM otel.otel_traces
    WHERE ServiceName = {service:String} AND ParentSpanId = '' AND SpanName NOT IN {names:Array(String)}
        AND Timestamp >= {start:DateTime64(9)} AND Timestamp < {end:DateTime64(9)}
        AND ({environment:Nullable(String)} IS NULL OR Environment = {environment:Nullable(String)})
    UNION ALL
    SELECT TraceId, clew_entry_start(min(EntryKey)),
        argMinMerge(Entry).Duration, argMinMerge(Entry).IsError, 1, 1, cityHash64(TraceId)
    FROM otel.clew_traces
    WHERE TraceId IN (
        SELECT TraceId FROM otel.clew_traces
        WHERE TraceId IN (
            SELECT TraceId FROM otel.clew_traces
            WHERE clew_is_rootless(EntryKey) AND Start < {end:DateTime64(9)} AND End >= {start:DateTime64(9)})
        GROUP BY TraceId
        HAVING min(EntryKey) >= clew_rootless_key({start:DateTime64(9)})
            AND min(EntryKey) < clew_rootless_key({end:DateTime64(9)})
            AND clew_root_is_overdue(max(End)))
    GROUP BY TraceId
    HAVING argMinMerge(Entry).ServiceName = {service:String}
        AND argMinMerge(Entry).SpanName NOT IN {names:Array(String)}
        AND ({environment:Nullable(String)} IS NULL OR argMinMerge(Entry).Environment = {environment:Nullable(String)})
)
