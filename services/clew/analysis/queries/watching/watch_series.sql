-- The series that had requests in a window: defined transactions first, then those with the most value and requests. What a
-- service's processes use counts as much as what comes in to the service, and less than anything with value.
SELECT Series AS series, kind, environment, service, name, slots, count() OVER () AS total
FROM
(
    SELECT
        Series,
        kind,
        environment,
        service,
        name,
        slots,
        if(kind = 'process', 0, value) AS worth,
        if(kind = 'process', maxIf(slots, kind = 'service') OVER (PARTITION BY environment, service), slots) AS requests
    FROM
    (
        SELECT
            Series,
            toString(any(Kind)) AS kind,
            toString(any(Environment)) AS environment,
            toString(any(ServiceName)) AS service,
            toString(any(Name)) AS name,
            sum(watched.Value) AS value,
            sum(Count) AS slots
        FROM otel.clew_watch_1h AS watched FINAL
        WHERE Hour >= {start:DateTime} AND Hour < {end:DateTime}
            AND Kind IN ('transaction', 'defined', 'operation', 'service', 'dependency', 'process')
        GROUP BY Series
    )
)
ORDER BY kind = 'defined' DESC, worth DESC, requests DESC, Series
LIMIT {limit:UInt32}
