-- The series that had requests in a window, those with the most requests first.
SELECT
    Series AS series,
    toString(any(Kind)) AS kind,
    toString(any(Environment)) AS environment,
    toString(any(ServiceName)) AS service,
    toString(any(Name)) AS name,
    sum(watched.Count) AS requests
FROM otel.clew_watch_1h AS watched FINAL
WHERE Hour >= {start:DateTime} AND Hour < {end:DateTime}
    AND Kind IN {kinds:Array(String)}
GROUP BY Series
ORDER BY requests DESC, series
LIMIT {limit:UInt32}
