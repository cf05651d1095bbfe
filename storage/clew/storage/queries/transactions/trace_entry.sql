-- The entry that a trace is known by.
SELECT
    argMinMerge(Entry).ServiceName AS service,
    argMinMerge(Entry).SpanName AS operation,
    TraceId AS trace_id,
    clew_time(clew_entry_start(min(EntryKey))) AS start,
    argMinMerge(Entry).Duration / 1e6 AS duration_ms,
    argMinMerge(Entry).IsError = 1 AS is_error
FROM otel.clew_traces
WHERE TraceId = {id:String}
GROUP BY TraceId
HAVING clew_has_entry(min(EntryKey))
