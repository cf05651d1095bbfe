-- What an older database has in clew_operations_1m, once: entering an operation again changes nothing.
INSERT INTO otel.clew_operations
    (ServiceName, SpanName, SpanKind, IsRoot, Environment, ServiceVersion, FirstSeen, LastSeen, InsertedAt)
SELECT
    ServiceName,
    SpanName,
    SpanKind,
    IsRoot,
    Environment,
    ServiceVersion,
    min(minutes.FirstSeen),
    max(toDateTime64(minutes.Minute, 9)),
    max(minutes.InsertedAt)
FROM otel.clew_operations_1m AS minutes
GROUP BY ServiceName, SpanName, SpanKind, IsRoot, Environment, ServiceVersion
