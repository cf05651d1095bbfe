-- with diagnosed
-- The traces of both sets by the minute: how many, how many failed, and the mean logarithm of their durations.
SELECT
    toUnixTimestamp(toStartOfMinute(Timestamp)) AS minute,
    count() AS traces,
    countIf(IsError) AS errors,
    avg(log(1 + Duration)) AS log_duration
FROM diagnosed
GROUP BY minute
ORDER BY minute
