-- What an older database has in otel_logs, once, before the view follows it: all but what is there already, so
-- that a run that was cut short can be run again.
INSERT INTO otel.clew_log_exceptions
    (Timestamp, ServiceName, TraceId, SpanId, Type, Message, Stack, Segment, InsertedAt)
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
    AND (TraceId, SpanId, Timestamp) NOT IN (SELECT TraceId, SpanId, Timestamp FROM otel.clew_log_exceptions)
