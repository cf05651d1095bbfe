-- The memory of each instance in slots of ten minutes of the last six hours, of those that use more at
-- the end than at the begin of these, and than ever in the day before.
WITH
    toUnixTimestamp(toDateTime({until:DateTime64(9)}) - toIntervalHour(6)) AS recent,
    points AS
    (
        SELECT toString(ServiceName) AS service, toString(Instance) AS source, toUInt32(toStartOfInterval(TimeUnix, toIntervalMinute(10))) AS at, Value AS bytes
        FROM otel.otel_metrics_gauge
        WHERE MetricName = 'process.memory.usage' AND TimeUnix >= toDateTime({since:DateTime64(9)}) AND TimeUnix < toDateTime({until:DateTime64(9)})
        UNION ALL
        SELECT toString(ServiceName), toString(Instance), toUInt32(toStartOfInterval(TimeUnix, toIntervalMinute(10))), Value
        FROM otel.otel_metrics_sum
        WHERE MetricName = 'process.memory.usage' AND TimeUnix >= toDateTime({since:DateTime64(9)}) AND TimeUnix < toDateTime({until:DateTime64(9)})
    ),
    slots AS
    (
        SELECT service, source, at, avg(bytes) AS mean
        FROM points
        WHERE service != '' AND isFinite(bytes)
        GROUP BY service, source, at
    )
SELECT service, source, arraySort(groupArrayIf((at, mean), at >= recent)) AS values
FROM slots
GROUP BY service, source
HAVING
    length(values) >= 12 AND argMax(mean, at) > 1.02 * values[1].2
    AND argMax(mean, at) > maxIf(mean, at < recent)
ORDER BY service, source
LIMIT {limit:UInt32}
