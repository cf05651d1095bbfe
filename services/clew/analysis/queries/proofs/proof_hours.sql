-- The hours of a series: requests, and p50, p75, p95 and p98 in milliseconds; and in each row the geometric means of these over the hours from
-- {since} on, of hours with at least {least} requests (by quantile): the value of a regression.
SELECT
    toUnixTimestamp(Hour) AS hour,
    Count AS requests,
    hours.Errors AS failed,
    arrayMap(place -> Levels[place] / 1e6, [10, 15, 19, 20]) AS p50_p75_p95_p98_ms,
    [
        exp(avgIf(log(Levels[10]), Hour >= {since:DateTime} AND Count >= {least:Array(UInt32)}[1]) OVER ()) / 1e6,
        exp(avgIf(log(Levels[15]), Hour >= {since:DateTime} AND Count >= {least:Array(UInt32)}[2]) OVER ()) / 1e6,
        exp(avgIf(log(Levels[19]), Hour >= {since:DateTime} AND Count >= {least:Array(UInt32)}[3]) OVER ()) / 1e6,
        exp(avgIf(log(Levels[20]), Hour >= {since:DateTime} AND Count >= {least:Array(UInt32)}[4]) OVER ()) / 1e6
    ] AS mean_p50_p75_p95_p98_ms
FROM otel.clew_watch_1h AS hours FINAL
WHERE Series = {series:UInt64} AND Hour >= {start:DateTime} AND Hour < {end:DateTime}
ORDER BY hour
