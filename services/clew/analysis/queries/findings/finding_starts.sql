-- The instances that started in a stretch of time, as their metrics say: when, in seconds since 1970.
SELECT
    toString(ServiceName) AS service,
    toString(Instance) AS source,
    toUnixTimestamp(max(StartTimeUnix)) AS started
FROM otel.otel_metrics_sum
WHERE MetricName IN ('process.cpu.time', 'jvm.cpu.time', 'process.runtime.jvm.cpu.time')
    AND TimeUnix >= toDateTime({since:DateTime64(9)}) AND TimeUnix < toDateTime({until:DateTime64(9)})
    AND Instance != '' AND StartTimeUnix >= {since:DateTime64(9)}
GROUP BY service, source
ORDER BY started DESC, service, source
LIMIT {limit:UInt32}
