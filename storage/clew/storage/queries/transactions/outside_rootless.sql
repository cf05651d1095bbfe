-- As outside_rooted, and the traces without a root, of a transaction that a trace can be known by without its root.
WITH outside AS
(
    SELECT Timestamp, clew_duration(Duration) AS Took, clew_is_error(StatusCode) AS IsError
    FROM otel.otel_traces
    WHERE ServiceName = {service:String} AND ParentSpanId = ''
        AND ({named:Bool} AND SpanName IN {names:Array(String)} OR NOT {named:Bool} AND SpanName NOT IN {names:Array(String)})
        AND Timestamp >= {start:DateTime64(9)} AND Timestamp < {end:DateTime64(9)}
        AND (Timestamp < {first_minute:DateTime} OR Timestamp >= {last_minute:DateTime})
        AND ({environment:Nullable(String)} IS NULL OR Environment = {environment:Nullable(String)})
    UNION ALL
    SELECT clew_entry_start(min(EntryKey)),
        argMinMerge(Entry).Duration, argMinMerge(Entry).IsError
    FROM otel.clew_traces
    WHERE TraceId IN (
        SELECT TraceId FROM otel.clew_traces
        WHERE TraceId IN (
            SELECT TraceId FROM otel.clew_traces
            WHERE clew_is_rootless(EntryKey)
                AND Start < {end:DateTime64(9)} AND End >= {start:DateTime64(9)})
        GROUP BY TraceId
        HAVING min(EntryKey) >= clew_rootless_key({start:DateTime64(9)})
            AND min(EntryKey) < clew_rootless_key({end:DateTime64(9)})
            AND clew_root_is_overdue(max(End)))
    GROUP BY TraceId
    HAVING argMinMerge(Entry).ServiceName = {service:String}
        AND has({names:Array(String)}, argMinMerge(Entry).SpanName) = {named:Bool}
        AND ({environment:Nullable(String)} IS NULL OR argMinMerge(Entry).Environment = {environment:Nullable(String)})
)
