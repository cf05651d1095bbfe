-- A smallest time stays right however often a row is counted, so settling has nothing to mend here.
CREATE MATERIALIZED VIEW IF NOT EXISTS otel.clew_deployments_view TO otel.clew_deployments AS
SELECT
    ServiceName,
    ResourceAttributes['service.version'] AS Version,
    clew_environment(ResourceAttributes) AS Environment,
    min(Timestamp) AS FirstSeen,
    max(InsertedAt) AS InsertedAt
FROM otel.otel_traces
WHERE ResourceAttributes['service.version'] != ''
GROUP BY ServiceName, Version, Environment
