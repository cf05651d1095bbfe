-- with diagnosed
-- How many traces each set has, how many of them failed, and the mean, the median and the 95th percentile of their
-- durations in nanoseconds.
SELECT
    is_a,
    count() AS rows,
    sum(toUInt64(OneIn)) AS traces,
    sumIf(toUInt64(OneIn), IsError) AS errors,
    avg(Duration) AS mean,
    countIf(clew_is_satisfied(Duration) AND NOT IsError) AS satisfied,
    countIf(clew_is_tolerating(Duration) AND NOT IsError) AS tolerating,
    sum(Duration) AS time,
    quantilesExactWeighted(0.5, 0.95)(Duration, toUInt64(OneIn)) AS quantiles
FROM diagnosed
GROUP BY is_a
ORDER BY is_a
