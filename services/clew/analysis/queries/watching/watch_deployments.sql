-- The versions of services that were first seen in a window, after another version of the service: deployments.
SELECT
    service,
    environment,
    version,
    first_seen
FROM
(
    SELECT
        toString(ServiceName) AS service,
        toString(Environment) AS environment,
        toString(ServiceVersion) AS version,
        toFloat64(min(seen.FirstSeen)) AS first_seen,
        min(first_seen) OVER (PARTITION BY service, environment) AS service_first_seen
    FROM otel.clew_operations AS seen
    WHERE ServiceVersion != ''
    GROUP BY service, environment, version
)
WHERE first_seen > service_first_seen
    AND first_seen >= toUnixTimestamp({start:DateTime}) AND first_seen < toUnixTimestamp({end:DateTime})
ORDER BY first_seen, service, version
LIMIT {limit:UInt32}
