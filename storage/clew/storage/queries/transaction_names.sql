-- The service and operation behind a transaction's id, whenever it was last seen.
SELECT ServiceName AS service, SpanName AS operation
FROM
(
    SELECT ServiceName, SpanName FROM otel.clew_operations_1m WHERE IsRoot GROUP BY ServiceName, SpanName
    UNION ALL
    SELECT ServiceName, argMinMerge(Entry).2 FROM otel.clew_traces
    WHERE EntryKey >= 4611686018427387904 GROUP BY TraceId, ServiceName
)
WHERE clew_transaction_id(ServiceName, SpanName) = {id:String}
LIMIT 1
