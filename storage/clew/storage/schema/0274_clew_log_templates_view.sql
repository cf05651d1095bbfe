CREATE MATERIALIZED VIEW IF NOT EXISTS otel.clew_log_templates_view TO otel.clew_log_templates AS
SELECT
    toStartOfHour(clew_minute(Timestamp)) AS Hour,
    clew_environment(ResourceAttributes) AS Environment,
    ServiceName,
    Template,
    Level,
    clew_log_place(LogAttributes) AS Place,
    min(substringUTF8(Body, 1, 200)) AS Body,
    count() AS Count,
    max(otel_logs.InsertedAt) AS InsertedAt
FROM otel.otel_logs
GROUP BY Hour, Environment, ServiceName, Template, Level, Place
