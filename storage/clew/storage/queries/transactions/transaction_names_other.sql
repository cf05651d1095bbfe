-- As transaction_names, of what a service has beyond its first 200 names: those 200, which it does not stand for.
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
LIMIT 1
