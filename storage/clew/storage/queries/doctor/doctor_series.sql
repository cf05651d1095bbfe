-- Metrics with many sets of attributes, and how many values each of the attributes has.
SELECT
    ServiceName AS service,
    MetricName AS metric,
    uniqCombined(cityHash64(Attributes)) AS sets,
    uniqCombinedMap(CAST(Attributes, 'Map(String, String)')) AS values_of_keys
FROM
(
    SELECT ServiceName, MetricName, TimeUnix, Attributes, ResourceAttributes FROM otel.otel_metrics_gauge
    UNION ALL
    SELECT ServiceName, MetricName, TimeUnix, Attributes, ResourceAttributes FROM otel.otel_metrics_sum
    UNION ALL
    SELECT ServiceName, MetricName, TimeUnix, Attributes, ResourceAttributes FROM otel.otel_metrics_histogram
)
WHERE TimeUnix >= toDateTime({start:DateTime64(9)}) AND TimeUnix < toDateTime({end:DateTime64(9)})
    AND ({environment:Nullable(String)} IS NULL
        OR clew_environment(ResourceAttributes) = {environment:Nullable(String)})
GROUP BY service, metric
HAVING sets >= {fewest:UInt64}
ORDER BY sets DESC, service, metric
LIMIT {limit:UInt32}
