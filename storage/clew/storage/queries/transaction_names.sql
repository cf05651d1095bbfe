-- The service and operation behind a transaction's id, whenever it was last seen. Read from the rollup
-- alone: every operation that a trace can be entered at, a root or one that takes requests.
SELECT ServiceName AS service, SpanName AS operation
FROM otel.clew_operations_1m
WHERE (IsRoot OR SpanKind IN ('Server', 'Consumer', 'SPAN_KIND_SERVER', 'SPAN_KIND_CONSUMER'))
    AND clew_transaction_id(ServiceName, SpanName) = {id:String}
LIMIT 1
