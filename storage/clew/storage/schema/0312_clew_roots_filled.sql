-- What an older database has in otel_traces, once, before the view follows it: all but what is there already, so
-- that a run that was cut short can be run again.
INSERT INTO otel.clew_roots (Timestamp, Environment, ServiceName, SpanName, Duration, IsError, Segment, InsertedAt)
SELECT
    Timestamp,
    Environment,
    ServiceName,
    SpanName,
    clew_duration(spans.Duration),
    clew_is_error(StatusCode),
    Segment,
    InsertedAt
FROM otel.otel_traces AS spans
WHERE ParentSpanId = ''
    AND (Timestamp, ServiceName, SpanName, clew_duration(spans.Duration))
        NOT IN (SELECT Timestamp, ServiceName, SpanName, Duration FROM otel.clew_roots)
