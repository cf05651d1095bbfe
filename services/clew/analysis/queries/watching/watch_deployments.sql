-- The deployments of services in a window: those that were posted, and versions that were first seen after another
-- version of the service. A version that was posted counts as often as it was, for it may be rolled back to. What was
-- posted without an environment is of each that the service has.
WITH
    posted AS
    (
        SELECT
            toString(ServiceName) AS service,
            toString(Environment) AS environment,
            if(ServiceVersion = '', Name, ServiceVersion) AS version,
            toFloat64(toUnixTimestamp64Milli(toDateTime64(Time, 3))) / 1000 AS deployed_at
        FROM otel.clew_events FINAL
        WHERE Type = 'deployment' AND ServiceName != ''
    ),
    versions AS
    (
        SELECT
            toString(ServiceName) AS service,
            toString(Environment) AS environment,
            toString(ServiceVersion) AS version,
            toFloat64(min(seen.FirstSeen)) AS first_seen,
            minIf(first_seen, version != '') OVER (PARTITION BY service, environment) AS service_first_seen
        FROM otel.clew_operations AS seen
        GROUP BY service, environment, version
    )
SELECT service, environment, version, first_seen
FROM
(
    SELECT service, environment, version, first_seen
    FROM versions
    WHERE version != '' AND first_seen > service_first_seen
        AND (service, version) NOT IN (SELECT service, version FROM posted)
    UNION ALL
    SELECT posted.service, places.environment, posted.version, posted.deployed_at
    FROM posted
    INNER JOIN (SELECT DISTINCT service, environment FROM versions) AS places ON places.service = posted.service
    WHERE posted.environment IN ('', places.environment)
)
WHERE first_seen >= toUnixTimestamp({start:DateTime}) AND first_seen < toUnixTimestamp({end:DateTime})
ORDER BY first_seen, service, version
LIMIT {limit:UInt32}
