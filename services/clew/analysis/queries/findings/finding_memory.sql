-- The memory of each instance in slots of ten minutes, of those that use more at the end than at the begin.
WITH
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
SELECT service, source, arraySort(groupArray((at, mean))) AS values
FROM slots
GROUP BY service, source
HAVING count() >= 12 AND argMax(mean, at) > 1.02 * argMin(mean, at)
ORDER BY service, source
LIMIT {limit:UInt32}
