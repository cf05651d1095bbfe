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
    InsertedAt
FROM otel.otel_logs
WHERE mapContains(LogAttributes, 'exception.type') AND TraceId != ''
