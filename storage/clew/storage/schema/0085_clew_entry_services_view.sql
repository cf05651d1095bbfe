CREATE MATERIALIZED VIEW IF NOT EXISTS otel.clew_entry_services_view TO otel.clew_entry_services AS
SELECT
    toStartOfHour(toDateTime(toInt64(Timestamp))) AS Hour,
    ServiceName,
    SpanName,
    Environment,
    groupUniqArrayArray(arrayMap(service -> toString(service), Services)) AS Services,
    max(InsertedAt) AS InsertedAt
FROM otel.clew_settled
WHERE Rank < 2 AND NOT IsDeleted
GROUP BY Hour, ServiceName, SpanName, Environment
