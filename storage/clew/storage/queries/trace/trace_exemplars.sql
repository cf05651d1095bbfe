-- Histograms of some services that have an exemplar of the trace: what the point with it says.
SELECT
    MetricName AS name,
    MetricUnit AS unit,
    ServiceName AS service,
    Instance AS resource,
    Attributes AS attributes,
    toUnixTimestamp(TimeUnix) AS time,
    BucketCounts AS counts,
    ExplicitBounds AS bounds
FROM otel.otel_metrics_histogram
WHERE ServiceName IN {services:Array(String)}
    AND TimeUnix >= toDateTime({start:DateTime64(9)}) AND TimeUnix <= toDateTime({end:DateTime64(9)})
    AND has(Exemplars.TraceId, {trace_id:String})
ORDER BY name, service, resource, cityHash64(attributes), time
LIMIT 100
