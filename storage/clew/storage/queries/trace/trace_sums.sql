-- The sums of some processes, as trace_gauges has the gauges, run by run (see series_rates). The reader
-- computes rates of points that count from a start (cumulative, 2) or since the point before (delta, 1).
SELECT
    MetricName AS name,
    any(MetricUnit) AS unit,
    ServiceName AS service,
    Instance AS resource,
    any(Attributes) AS attributes,
    max(has(Exemplars.TraceId, {trace_id:String})) AS by_exemplar,
    if(AggregationTemporality = 1, (0, 0), (toUnixTimestamp(StartTimeUnix), StartTimeUnixNanos)) AS run,
    any(IsMonotonic) AS is_monotonic,
    any(AggregationTemporality) AS temporality,
    arrayMap(
        point -> (toUnixTimestamp(point.1), point.3),
        arraySort(groupArray((TimeUnix, TimeUnixNanos, Value)))) AS points
FROM otel.otel_metrics_sum
PREWHERE TimeUnix >= toDateTime({start:DateTime64(9)}) AND TimeUnix <= toDateTime({end:DateTime64(9)})
WHERE (ServiceName, MetricName) IN (
        SELECT ServiceName, MetricName FROM otel.otel_metrics_sum
        WHERE ServiceName IN {services:Array(String)}
            AND TimeUnix >= toDateTime({start:DateTime64(9)}) AND TimeUnix <= toDateTime({end:DateTime64(9)})
        GROUP BY ServiceName, MetricName
        ORDER BY max(has(Exemplars.TraceId, {trace_id:String})) DESC, MetricName
        LIMIT {names:UInt32} BY ServiceName)
    AND bitAnd(Flags, 1) = 0 AND isFinite(Value)
    AND (ServiceName, resource) IN {processes:Array(Tuple(String, String))}
GROUP BY name, service, resource, Stream, run
ORDER BY by_exemplar DESC, name, service, resource, cityHash64(attributes)
LIMIT 2 BY name, service, resource
