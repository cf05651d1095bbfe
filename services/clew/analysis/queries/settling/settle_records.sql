-- How many log records with one of some attributes were inserted between two times, of other traces than some: mostly
-- none, and then settle_logged need not be planned.
SELECT count() AS records
FROM otel.otel_logs
WHERE InsertedAt >= {since:DateTime} AND InsertedAt < {until:DateTime}
    AND TraceId != '' AND TraceId NOT IN {trace_ids:Array(String)}
    AND (hasAny(LogAttributes.keys, {names:Array(String)}) OR hasAny(ResourceAttributes.keys, {names:Array(String)}))
