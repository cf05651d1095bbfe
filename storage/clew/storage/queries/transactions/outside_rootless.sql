-- with roots_outside
-- Of a transaction that a trace can be known by without its root: the traces without one, too.
, outside AS
(
    SELECT * FROM roots_outside
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
