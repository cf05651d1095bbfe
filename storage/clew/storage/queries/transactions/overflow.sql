-- Services with more automatic names than 200: the first 200 are transactions of their own, the others
-- are one. Names of roots come before those that a trace is only known by when its root never came.
SELECT ServiceName AS service, uniqExact(SpanName) AS names
FROM otel.clew_operations
WHERE IsRoot OR SpanKind IN ('Server', 'Consumer', 'SPAN_KIND_SERVER', 'SPAN_KIND_CONSUMER')
GROUP BY service
HAVING names > 200
ORDER BY names DESC, service
LIMIT {limit:UInt32}
