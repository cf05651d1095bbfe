CREATE MATERIALIZED VIEW IF NOT EXISTS otel.clew_roots_view TO otel.clew_roots AS
SELECT
    Timestamp,
    Environment,
    ServiceName,
    SpanName,
    clew_duration(otel_traces.Duration) AS Duration,
    clew_is_error(StatusCode) AS IsError,
    Segment,
    InsertedAt
FROM otel.otel_traces
WHERE ParentSpanId = ''
