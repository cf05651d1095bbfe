-- The sums of some processes, as trace_gauges has the gauges; of a point that counts from a start
-- (cumulative, 2) or since the one before (delta, 1), who reads it works out a rate.
SELECT
    MetricName AS name,
    any(MetricUnit) AS unit,
    ServiceName AS service,
    Instance AS resource,
    any(Attributes) AS attributes,
    max(has(Exemplars.TraceId, {trace_id:String})) AS by_exemplar,
    any(IsMonotonic) AS is_monotonic,
    any(AggregationTemporality) AS temporality,
    arraySort(groupArray((toUnixTimestamp(TimeUnix), Value))) AS points
FROM otel.otel_metrics_sum
WHERE TimeUnix >= toDateTime({start:DateTime64(9)}) AND TimeUnix <= toDateTime({end:DateTime64(9)})
    AND (ServiceName, MetricName) IN (
        SELECT ServiceName, MetricName FROM otel.otel_metrics_sum
        WHERE ServiceName IN {services:Array(String)}
            AND TimeUnix >= toDateTime({start:DateTime64(9)}) AND TimeUnix <= toDateTime({end:DateTime64(9)})
        GROUP BY ServiceName, MetricName
        ORDER BY max(has(Exemplars.TraceId, {trace_id:String})) DESC, MetricName
        LIMIT {names:UInt32} BY ServiceName)
    AND (ServiceName, resource) IN {processes:Array(Tuple(String, String))}
GROUP BY name, service, resource, Series
ORDER BY by_exemplar DESC, name, service, resource, cityHash64(attributes)
LIMIT 2 BY name, service, resource
