-- The metrics that say how much a service's processes, containers and hosts use, in slots of {step} seconds: levels as their
-- mean, what only rises as its rate a second. Hosts and pods are those of the service's own metrics. A metric of each CPU is one
-- for all: levels as their mean, rates summed.
WITH
    places AS
    (
        SELECT DISTINCT toString(Host) AS host, ResourceAttributes['k8s.pod.name'] AS pod, ResourceAttributes['container.id'] AS container
        FROM otel.otel_metrics_sum
        WHERE ServiceName = {service:String} AND TimeUnix >= toDateTime({start:DateTime64(9)}) AND TimeUnix < toDateTime({end:DateTime64(9)})
        LIMIT 1000
    ),
    points AS
    (
        SELECT
            MetricName, ServiceName, Host, Instance, ResourceAttributes, Attributes, TimeUnix, TimeUnixNanos, StartTimeUnix, Stream, Value, Flags,
            false AS is_rising, false AS is_delta
        FROM otel.otel_metrics_gauge
        WHERE MetricName IN {metrics:Array(String)}
            AND TimeUnix >= toDateTime({start:DateTime64(9)}) AND TimeUnix < toDateTime({end:DateTime64(9)})
        UNION ALL
        SELECT
            MetricName, ServiceName, Host, Instance, ResourceAttributes, Attributes, TimeUnix, TimeUnixNanos, StartTimeUnix, Stream, Value, Flags,
            IsMonotonic, AggregationTemporality = 1
        FROM otel.otel_metrics_sum
        WHERE MetricName IN {metrics:Array(String)}
            AND TimeUnix >= toDateTime({start:DateTime64(9)}) AND TimeUnix < toDateTime({end:DateTime64(9)})
    ),
    streams AS
    (
        SELECT
            toString(MetricName) AS metric,
            if(startsWith(metric, 'system.'), toString(Host), firstNonDefault(
                toString(Instance), ResourceAttributes['k8s.pod.name'], ResourceAttributes['container.id'], toString(Host))) AS source,
            firstNonDefault(ResourceAttributes['process.runtime.name'], ResourceAttributes['telemetry.sdk.language']) AS runtime,
            CAST(mapFilter((key, _) -> key NOT IN ('cpu', 'cpu.logical_number'), Attributes) AS Map(String, String)) AS attributes,
            toUInt32(toStartOfInterval(TimeUnix, toIntervalSecond({step:UInt32}))) AS at,
            Stream,
            is_rising,
            is_delta,
            Value,
            if(is_rising AND NOT is_delta, Value - lagInFrame(Value, 1, Value) OVER run, Value) AS rise
        FROM points
        WHERE bitAnd(Flags, 1) = 0 AND isFinite(Value)
            AND (ServiceName = {service:String}
                OR startsWith(MetricName, 'system.') AND Host IN (SELECT host FROM places WHERE host != '')
                OR ResourceAttributes['k8s.pod.name'] IN (SELECT pod FROM places WHERE pod != '')
                OR ResourceAttributes['container.id'] IN (SELECT container FROM places WHERE container != ''))
        WINDOW run AS (PARTITION BY Stream, StartTimeUnix ORDER BY TimeUnix, TimeUnixNanos ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
    )
SELECT
    metric,
    source,
    any(runtimes) AS runtime,
    attributes,
    at,
    any(rises) AS is_rate,
    if(is_rate OR NOT startsWith(metric, 'system.'), sum(number), avg(number)) AS value
FROM
(
    SELECT
        metric, source, attributes, at, Stream,
        any(runtime) AS runtimes,
        any(is_rising OR is_delta) AS rises,
        if(rises, sum(greatest(rise, 0)) / {step:UInt32}, avg(Value)) AS number
    FROM streams
    GROUP BY metric, source, attributes, at, Stream
)
GROUP BY metric, source, attributes, at
ORDER BY metric, source, attributes, at
LIMIT {limit:UInt32}
