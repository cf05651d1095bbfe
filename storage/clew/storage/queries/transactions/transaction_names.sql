-- The automatic transaction behind an id, whenever it was last seen: a service, and the operations that
-- its traces are entered at; of the service's (other) those that it does not stand for. Rootless: whether
-- a trace can be known by it without its root.
SELECT service, operation, names, named, rootless
FROM
(
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
    UNION ALL
    SELECT
        ServiceName AS service,
        '(other)' AS operation,
        arraySlice(arraySort(groupArray((NOT root, first, name))), 1, 200).3 AS names,
        false AS named,
        true AS rootless
    FROM
    (
        SELECT ServiceName, toString(SpanName) AS name, max(IsRoot) AS root, min(FirstSeen) AS first
        FROM otel.clew_operations
        WHERE (IsRoot OR clew_is_entry_kind(SpanKind))
            AND clew_transaction_id(ServiceName, '(other)') = {id:String}
        GROUP BY ServiceName, name
    )
    GROUP BY service
    HAVING count() > 200
)
ORDER BY named
LIMIT 1
