-- The metrics that say how full the resources of each service's processes and containers are, in slots of five minutes: levels as
-- their mean, what only rises as its rate a second.
WITH
    points AS
    (
        SELECT MetricName, ServiceName, Instance, ResourceAttributes, Attributes, TimeUnix, StartTimeUnix, Stream, Value, Flags, false AS is_rising, false AS is_delta
        FROM otel.otel_metrics_gauge
        WHERE MetricName IN {metrics:Array(String)} AND TimeUnix >= toDateTime({since:DateTime64(9)}) AND TimeUnix < toDateTime({until:DateTime64(9)})
        UNION ALL
        SELECT MetricName, ServiceName, Instance, ResourceAttributes, Attributes, TimeUnix, StartTimeUnix, Stream, Value, Flags, IsMonotonic, AggregationTemporality = 1
        FROM otel.otel_metrics_sum
        WHERE MetricName IN {metrics:Array(String)} AND TimeUnix >= toDateTime({since:DateTime64(9)}) AND TimeUnix < toDateTime({until:DateTime64(9)})
    ),
    streams AS
    (
        SELECT
            toString(MetricName) AS metric,
            toString(ServiceName) AS service,
            firstNonDefault(toString(Instance), ResourceAttributes['k8s.pod.name'], ResourceAttributes['container.id']) AS source,
            toUInt32(toStartOfInterval(TimeUnix, toIntervalSecond(300))) AS at,
            Stream,
            any(firstNonDefault(ResourceAttributes['process.runtime.name'], ResourceAttributes['telemetry.sdk.language'])) AS runtime,
            any(CAST(mapFilter((key, _) -> key NOT IN ('cpu', 'cpu.logical_number'), Attributes) AS Map(String, String))) AS attributes,
            any(is_rising OR is_delta) AS is_rate,
            multiIf(any(is_delta), sum(Value) / 300, any(is_rising), (max(Value) - min(Value)) / greatest(1, max(TimeUnix) - min(TimeUnix)), avg(Value)) AS number
        FROM points
        WHERE bitAnd(Flags, 1) = 0 AND isFinite(Value) AND ServiceName != ''
        GROUP BY metric, service, source, at, Stream, StartTimeUnix
        HAVING NOT any(is_rising) OR any(is_delta) OR max(TimeUnix) > min(TimeUnix)
    )
SELECT metric, service, source, any(streams.runtime) AS runtime, streams.attributes AS attributes, at, sum(number) AS value
FROM streams
GROUP BY metric, service, source, streams.attributes, at
ORDER BY metric, service, source, attributes, at
LIMIT {limit:UInt32}
