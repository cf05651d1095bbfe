-- The occurrences of defined transactions that one trace belongs to; is_entry: a span of it matches. A
-- key that no matching span carries in any trace has no occurrence.
SELECT Transaction AS id, Key AS key, argMax(length(Entry.SpanId), Version) > 0 AS is_entry
FROM otel.clew_occurrence_traces
WHERE TraceId = {trace_id:String}
GROUP BY id, key
HAVING argMax(IsDeleted, Version) = 0
ORDER BY is_entry DESC, id, key
LIMIT {limit:UInt32}
