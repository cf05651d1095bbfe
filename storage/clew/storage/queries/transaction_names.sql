-- The service and operation behind a transaction's id, whenever it was last seen.
SELECT ServiceName AS service, SpanName AS operation
FROM
(
    SELECT ServiceName, SpanName FROM otel.clew_operations_1m WHERE IsRoot GROUP BY ServiceName, SpanName
    UNION ALL
    SELECT Entry.ServiceName, Entry.SpanName FROM otel.clew_traces
    WHERE Entry.Rank = 1 GROUP BY Entry.ServiceName, Entry.SpanName
)
WHERE clew_transaction_id(ServiceName, SpanName) = {id:String}
LIMIT 1
