-- What an older database has in otel_traces, once, before the view follows it: all but what is there already, so
-- that a run that was cut short can be run again.
INSERT INTO otel.clew_span_exceptions
    (Timestamp, ServiceName, TraceId, SpanId, At, Type, Message, Stack, Segment, InsertedAt)
SELECT
    Timestamp,
    ServiceName,
    TraceId,
    SpanId,
    event.1 AS At,
    event.2['exception.type'] AS Type,
    event.2['exception.message'] AS Message,
    event.2['exception.stacktrace'] AS Stack,
    Segment,
    InsertedAt
FROM otel.otel_traces
ARRAY JOIN arrayFilter((e, n) -> n = 'exception', arrayZip(Events.Timestamp, Events.Attributes), Events.Name) AS event
WHERE has(Events.Name, 'exception') AND TraceId != ''
    AND (TraceId, SpanId, Timestamp) NOT IN (SELECT TraceId, SpanId, Timestamp FROM otel.clew_span_exceptions)
