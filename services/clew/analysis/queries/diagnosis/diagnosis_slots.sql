-- with diagnosed
-- The traces of both sets by slots of some seconds (`slot`): how many, how many failed, and the mean logarithm of their durations.
SELECT
    toUnixTimestamp(toStartOfInterval(Timestamp, toIntervalSecond({slot:UInt32}))) AS start,
    count() AS traces,
    countIf(IsError) AS errors,
    avg(log(1 + Duration)) AS log_duration
FROM diagnosed
GROUP BY start
ORDER BY start
