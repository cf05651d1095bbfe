-- The hours of a series: requests, and p50, p75, p95 and p98 in milliseconds.
SELECT
    toUnixTimestamp(Hour) AS hour,
    Count AS requests,
    hours.Errors AS failed,
    arrayMap(place -> Levels[place] / 1e6, [10, 15, 19, 20]) AS p50_p75_p95_p98_ms
FROM otel.clew_watch_1h AS hours FINAL
WHERE Series = {series:UInt64} AND Hour >= {start:DateTime} AND Hour < {end:DateTime}
ORDER BY hour
