-- Those of some traces that have a root span.
SELECT TraceId AS trace_id
FROM otel.clew_traces
WHERE TraceId IN {trace_ids:Array(String)} AND NOT clew_is_rootless(EntryKey)
