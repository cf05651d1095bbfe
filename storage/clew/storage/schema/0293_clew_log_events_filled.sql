-- What an older database has in otel_logs, once, before the view follows it. Minutes that are there already are left
-- alone, so that a run that was cut short can be run again.
INSERT INTO otel.clew_log_events
    (Minute, Type, Environment, ServiceName, Name, Variant, ServiceVersion, Count, FirstSeen, InsertedAt)
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
WHERE (mapContains(LogAttributes, 'feature_flag.key') OR mapContains(LogAttributes, 'deployment.id')
    OR mapContains(LogAttributes, 'deployment.name') OR mapContains(LogAttributes, 'deployment.status'))
    AND clew_minute(Timestamp) NOT IN (SELECT Minute FROM otel.clew_log_events)
GROUP BY Minute, Type, Environment, ServiceName, Name, Variant, ServiceVersion
