-- How loaded the processes of each service were, by gauges of a share that is in use or of a delay: the highest value of
-- an instance in A, and the median and the quartiles of its values in B.
SELECT
    ServiceName AS service,
    MetricName AS metric,
    ResourceAttributes['service.instance.id'] AS instance,
    any(clew_instance_name(ResourceAttributes)) AS name,
    any(MetricUnit) AS unit,
    maxIf(Value, is_a) AS highest,
    quantileExactIf(0.5)(Value, NOT is_a) AS median,
    quantileExactIf(0.25)(Value, NOT is_a) AS low,
    quantileExactIf(0.75)(Value, NOT is_a) AS high,
    countIf(NOT is_a) AS points
FROM
(
    SELECT ServiceName, MetricName, MetricUnit, ResourceAttributes, Value,
        TimeUnix >= toDateTime({start:DateTime64(9)}) AND TimeUnix < toDateTime({end:DateTime64(9)}) AS is_a
    FROM otel.otel_metrics_gauge
    WHERE match(MetricName, '(cpu|memory)[a-z._]*[._](utilization|usage)$|(event_?loop|eventloop)[a-z._]*(delay|lag|utilization)|pending_requests$')
        AND NOT startsWith(MetricName, 'system.')
        AND ServiceName != ''
        AND (is_a OR (TimeUnix >= toDateTime({baseline_start:DateTime64(9)}) AND TimeUnix < toDateTime({baseline_end:DateTime64(9)})))
        AND ({environment:Nullable(String)} IS NULL OR clew_environment(ResourceAttributes) = {environment:Nullable(String)})
)
GROUP BY service, metric, instance
HAVING countIf(is_a) > 0 AND points >= 3
ORDER BY service, metric, instance
LIMIT 2000
