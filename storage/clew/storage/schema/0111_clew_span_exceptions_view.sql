CREATE MATERIALIZED VIEW IF NOT EXISTS otel.clew_span_exceptions_view TO otel.clew_span_exceptions AS
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
    InsertedAt,
    ServiceVersion,
    Environment
FROM otel.otel_traces
ARRAY JOIN arrayFilter((event, name) -> name = 'exception', arrayZip(Events.Timestamp, Events.Attributes), Events.Name) AS event
WHERE has(Events.Name, 'exception') AND TraceId != ''
