-- The automatic transaction behind an id, whenever it was last seen: a service and the operation that its traces are
-- entered at. Rootless: whether a trace can be known by it without its root.
SELECT
    ServiceName AS service,
    toString(SpanName) AS operation,
    [operation] AS names,
    true AS named,
    toBool(max(NOT IsRoot)) AS rootless
FROM otel.clew_operations
WHERE (IsRoot OR clew_is_entry_kind(SpanKind))
    AND clew_transaction_id(ServiceName, SpanName) = {id:String}
GROUP BY service, operation
LIMIT 1
