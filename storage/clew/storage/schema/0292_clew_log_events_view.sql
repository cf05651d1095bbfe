-- A value of a flag without a variant may be anything: its first 100 characters.
CREATE MATERIALIZED VIEW IF NOT EXISTS otel.clew_log_events_view TO otel.clew_log_events AS
SELECT
    clew_minute(Timestamp) AS Minute,
    if(mapContains(LogAttributes, 'feature_flag.key'), 'feature_flag', 'deployment') AS Type,
    clew_environment(ResourceAttributes) AS Environment,
    ServiceName,
    substringUTF8(if(Type = 'feature_flag', LogAttributes['feature_flag.key'], firstNonDefault(
        LogAttributes['deployment.name'], LogAttributes['deployment.id'], Body)), 1, 200) AS Name,
    substringUTF8(if(Type = 'feature_flag', firstNonDefault(
        LogAttributes['feature_flag.result.variant'], LogAttributes['feature_flag.variant'],
        LogAttributes['feature_flag.result.value']), LogAttributes['deployment.status']), 1, 100) AS Variant,
    substringUTF8(if(Type = 'feature_flag', LogAttributes['feature_flag.version'], firstNonDefault(
        LogAttributes['service.version'], ResourceAttributes['service.version'])), 1, 200) AS ServiceVersion,
    count() AS Count,
    min(Timestamp) AS FirstSeen,
    max(otel_logs.InsertedAt) AS InsertedAt
FROM otel.otel_logs
WHERE mapContains(LogAttributes, 'feature_flag.key') OR mapContains(LogAttributes, 'deployment.id')
    OR mapContains(LogAttributes, 'deployment.name') OR mapContains(LogAttributes, 'deployment.status')
GROUP BY Minute, Type, Environment, ServiceName, Name, Variant, ServiceVersion
