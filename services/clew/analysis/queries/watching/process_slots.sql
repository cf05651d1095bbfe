-- What the processes of services use in slots of five minutes. `instances`: of each instance its metric's streams together: levels as their
-- means, of what only rises its rate a second; of histograms the rate of their sums. Of connection pools used connections count alone.
WITH
    process_points AS
    (
        SELECT ServiceName, MetricName, ResourceAttributes, Instance, Host, TimeUnix, toDateTime(0) AS Began, Stream, Attributes, Flags,
            Value AS number, false AS is_rising, false AS is_delta
        FROM otel.otel_metrics_gauge
        WHERE MetricName IN splitByChar(',', {metrics:String}) AND TimeUnix >= {start:DateTime} AND TimeUnix < {end:DateTime}
            AND ({service:String} = '' OR ServiceName = {service:String})
        UNION ALL
        SELECT ServiceName, MetricName, ResourceAttributes, Instance, Host, TimeUnix, if(IsMonotonic, StartTimeUnix, toDateTime(0)), Stream, Attributes, Flags,
            Value, IsMonotonic, IsMonotonic AND AggregationTemporality = 1
        FROM otel.otel_metrics_sum
        WHERE MetricName IN splitByChar(',', {metrics:String}) AND TimeUnix >= {start:DateTime} AND TimeUnix < {end:DateTime}
            AND ({service:String} = '' OR ServiceName = {service:String})
        UNION ALL
        SELECT ServiceName, MetricName, ResourceAttributes, Instance, Host, TimeUnix, StartTimeUnix, Stream, Attributes, Flags,
            Sum, true, AggregationTemporality = 1
        FROM otel.otel_metrics_histogram
        WHERE MetricName IN splitByChar(',', {metrics:String}) AND TimeUnix >= {start:DateTime} AND TimeUnix < {end:DateTime}
            AND ({service:String} = '' OR ServiceName = {service:String})
    ),
    process_streams AS
    (
        SELECT
            toStartOfFiveMinutes(TimeUnix) AS slot,
            toString(clew_environment(any(ResourceAttributes))) AS environment,
            toString(ServiceName) AS service,
            toString(MetricName) AS metric,
            firstNonDefault(toString(any(Instance)), any(ResourceAttributes)['k8s.pod.name'], toString(any(Host))) AS instance,
            multiIf(
                any(is_delta), sum(number) / 300,
                NOT any(is_rising), avg(number),
                count() < 2, NULL,
                (max(number) - min(number)) / greatest(max(toUnixTimestamp(TimeUnix)) - min(toUnixTimestamp(TimeUnix)), 1)) AS amount
        FROM process_points
        WHERE bitAnd(Flags, 1) = 0 AND isFinite(number)
            AND NOT (startsWith(MetricName, 'db.client.connection') AND has(mapValues(Attributes), 'idle'))
        GROUP BY slot, service, metric, Stream, Began
    ),
    process_instances AS
    (
        SELECT slot, environment, service, metric, instance, sum(amount) AS used
        FROM process_streams
        WHERE amount IS NOT NULL
        GROUP BY slot, environment, service, metric, instance
    ),
    process_slots AS
    (
        SELECT slot, environment, service, metric, count() AS instances, ifNull(avg(used), 0.) AS value,
            ifNull(max(used), 0.) AS worst, argMax(instance, used) AS worst_instance
        FROM process_instances
        GROUP BY slot, environment, service, metric
    )
