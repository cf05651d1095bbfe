CREATE MATERIALIZED VIEW IF NOT EXISTS otel.clew_watch_1m_view TO otel.clew_watch_1m AS
SELECT
    Minute,
    Environment,
    ServiceName,
    SpanName,
    SpanKind,
    IsRoot,
    sum(clew_operations_1m.Count) AS Count,
    sum(clew_operations_1m.Errors) AS Errors,
    sum(clew_operations_1m.DurationSum) AS DurationSum,
    max(clew_operations_1m.DurationMax) AS DurationMax,
    quantilesDDMergeState(0.01, 0.5, 0.9, 0.95, 0.99)(clew_operations_1m.Sketch) AS Sketch,
    max(clew_operations_1m.InsertedAt) AS InsertedAt
FROM otel.clew_operations_1m
GROUP BY Minute, Environment, ServiceName, SpanName, SpanKind, IsRoot
