-- Services with more automatic names than 200: the first 200 are transactions of their own, the others
-- are one. Names of roots come before those that a trace is only known by when its root never came.
SELECT ServiceName AS service, uniqExact(SpanName) AS names
FROM otel.clew_operations
WHERE IsRoot OR clew_is_entry_kind(SpanKind)
GROUP BY service
HAVING names > 200
ORDER BY names DESC, service
LIMIT {limit:UInt32}
