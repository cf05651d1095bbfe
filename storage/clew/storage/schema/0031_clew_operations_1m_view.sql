CREATE MATERIALIZED VIEW IF NOT EXISTS otel.clew_operations_1m_view TO otel.clew_operations_1m AS
SELECT
    clew_minute(Timestamp) AS Minute,
    Environment,
    ServiceVersion,
    ServiceName,
    SpanName,
    SpanKind,
    ParentSpanId = '' AS IsRoot,
    count() AS Count,
    countIf(clew_is_error(StatusCode)) AS Errors,
    countIf(clew_is_satisfied(clew_duration(Duration))) AS Satisfied,
    countIf(clew_is_tolerating(clew_duration(Duration))) AS Tolerating,
    sum(clew_duration(Duration)) AS DurationSum,
    max(clew_duration(Duration)) AS DurationMax,
    quantilesDDState(0.01, 0.5, 0.9, 0.95, 0.99)(clew_duration(Duration)) AS Sketch,
    min(Timestamp) AS FirstSeen,
    max(InsertedAt) AS InsertedAt
FROM otel.otel_traces
GROUP BY Minute, Environment, ServiceVersion, ServiceName, SpanName, SpanKind, IsRoot
