-- The defined transactions that some traces belong to.
SELECT Transaction AS id, TraceId AS trace_id
FROM otel.clew_occurrence_traces
WHERE TraceId IN {trace_ids:Array(String)}
GROUP BY Transaction, Key, TraceId
HAVING argMax(IsDeleted, Version) = 0
ORDER BY id, trace_id
LIMIT 1 BY id, trace_id
