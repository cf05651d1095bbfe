-- The exceptions of log records without a trace id, which the view leaves out no longer: those of an older database,
-- once. A run that was cut short can be run again.
INSERT INTO otel.clew_log_exceptions
    (Timestamp, ServiceName, TraceId, SpanId, Type, Message, Stack, Segment, InsertedAt, ServiceVersion, Environment)
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
    ResourceAttributes['service.version'],
    clew_environment(ResourceAttributes)
FROM otel.otel_logs
WHERE mapContains(LogAttributes, 'exception.type') AND TraceId = ''
    AND (ServiceName, Timestamp) NOT IN (SELECT ServiceName, Timestamp FROM otel.clew_log_exceptions WHERE TraceId = '')
