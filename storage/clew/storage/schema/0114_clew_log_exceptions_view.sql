CREATE MATERIALIZED VIEW IF NOT EXISTS otel.clew_log_exceptions_view TO otel.clew_log_exceptions AS
SELECT
    Timestamp,
    ServiceName,
    TraceId,
    SpanId,
    LogAttributes['exception.type'] AS Type,
    LogAttributes['exception.message'] AS Message,
    LogAttributes['exception.stacktrace'] AS Stack,
    Segment,
    InsertedAt,
    ResourceAttributes['service.version'] AS ServiceVersion,
    clew_environment(ResourceAttributes) AS Environment
FROM otel.otel_logs
WHERE mapContains(LogAttributes, 'exception.type')
