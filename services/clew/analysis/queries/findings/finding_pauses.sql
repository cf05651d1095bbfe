-- How long garbage collections stopped each instance in a stretch of time, in seconds, and how many there were.
WITH
    streams AS
    (
        SELECT
            toString(MetricName) AS metric,
            toString(ServiceName) AS service,
            toString(Instance) AS source,
            if(any(AggregationTemporality) = 1, sum(Sum), max(Sum) - min(Sum)) AS total,
            if(any(AggregationTemporality) = 1, toFloat64(sum(Count)), toFloat64(max(Count) - min(Count))) AS number
        FROM otel.otel_metrics_histogram
        WHERE MetricName IN ('jvm.gc.duration', 'process.runtime.jvm.gc.duration', 'v8js.gc.duration')
            AND TimeUnix >= toDateTime({since:DateTime64(9)}) AND TimeUnix < toDateTime({until:DateTime64(9)})
        GROUP BY metric, service, source, Stream, StartTimeUnix
        UNION ALL
        SELECT
            toString(MetricName),
            toString(ServiceName),
            toString(Instance),
            if(any(AggregationTemporality) = 1, sum(Value), max(Value) - min(Value)),
            0
        FROM otel.otel_metrics_sum
        WHERE MetricName = 'dotnet.gc.pause.time'
            AND TimeUnix >= toDateTime({since:DateTime64(9)}) AND TimeUnix < toDateTime({until:DateTime64(9)})
        GROUP BY MetricName, ServiceName, Instance, Stream, StartTimeUnix
    )
SELECT
    service,
    source,
    sum(if(metric = 'process.runtime.jvm.gc.duration', total / 1000, total)) AS seconds,
    sum(number) AS pauses
FROM streams
WHERE service != ''
GROUP BY service, source
HAVING seconds > 0
ORDER BY seconds DESC, service, source
LIMIT {limit:UInt32}
