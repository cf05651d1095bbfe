-- What the gauges of some processes said: of {names} metrics of each service, so that no more granules
-- are read than that takes (one metric of one service takes at least one).
SELECT
    MetricName AS name,
    any(MetricUnit) AS unit,
    ServiceName AS service,
    Instance AS resource,
    any(Attributes) AS attributes,
    max(has(Exemplars.TraceId, {trace_id:String})) AS by_exemplar,
    arrayMap(
        point -> (toUnixTimestamp(point.1), point.3),
        arraySort(groupArray((TimeUnix, TimeUnixNanos, Value)))) AS points
FROM otel.otel_metrics_gauge
PREWHERE TimeUnix >= toDateTime({start:DateTime64(9)}) AND TimeUnix <= toDateTime({end:DateTime64(9)})
WHERE (ServiceName, MetricName) IN (
        SELECT ServiceName, MetricName FROM otel.otel_metrics_gauge
        WHERE ServiceName IN {services:Array(String)}
            AND TimeUnix >= toDateTime({start:DateTime64(9)}) AND TimeUnix <= toDateTime({end:DateTime64(9)})
        GROUP BY ServiceName, MetricName
        ORDER BY max(has(Exemplars.TraceId, {trace_id:String})) DESC, MetricName
        LIMIT {names:UInt32} BY ServiceName)
    AND bitAnd(Flags, 1) = 0 AND isFinite(Value)
    AND (ServiceName, resource) IN {processes:Array(Tuple(String, String))}
GROUP BY name, service, resource, Stream
ORDER BY by_exemplar DESC, name, service, resource, cityHash64(attributes)
LIMIT 2 BY name, service, resource
