CREATE MATERIALIZED VIEW IF NOT EXISTS otel.clew_operations_view TO otel.clew_operations AS
SELECT
    ServiceName,
    SpanName,
    SpanKind,
    IsRoot,
    Environment,
    ServiceVersion,
    min(operations.FirstSeen) AS FirstSeen,
    max(toDateTime64(operations.Minute, 9)) AS LastSeen,
    max(operations.InsertedAt) AS InsertedAt
FROM otel.clew_operations_1m AS operations
GROUP BY ServiceName, SpanName, SpanKind, IsRoot, Environment, ServiceVersion
