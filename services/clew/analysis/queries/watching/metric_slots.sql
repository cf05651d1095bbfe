-- A metric's value in slots of `step` seconds of a window, by service and attributes: the mean over the instances of a gauge
-- and of a sum that may fall, the rate a second of all instances together of a sum that only rises.
WITH metric_slots AS
    (
        SELECT
            service,
            environment,
            attributes,
            at,
            if(any(rises), sum(rate), avg(mean)) AS number
        FROM
        (
            SELECT
                service,
                environment,
                attributes,
                toUnixTimestamp({start:DateTime}) + intDiv(seconds - toUnixTimestamp({start:DateTime}), {step:UInt32}) * {step:UInt32} AS at,
                any(is_rising) AS rises,
                if(count() < 2, NULL, greatest(max(points.value) - min(points.value), 0) / greatest(max(seconds) - min(seconds), 1)) AS rate,
                avg(points.value) AS mean
            FROM
            (
                SELECT
                    toString(ServiceName) AS service,
                    toString(clew_environment(ResourceAttributes)) AS environment,
                    CAST(Attributes, 'Map(String, String)') AS attributes,
                    toUnixTimestamp(toDateTime(TimeUnix)) AS seconds,
                    Value AS value,
                    Stream AS stream,
                    false AS is_rising
                FROM otel.otel_metrics_gauge
                WHERE MetricName = {metric:String} AND TimeUnix >= {start:DateTime} AND TimeUnix < {end:DateTime}
                UNION ALL
                SELECT
                    toString(ServiceName),
                    toString(clew_environment(ResourceAttributes)),
                    CAST(Attributes, 'Map(String, String)'),
                    toUnixTimestamp(toDateTime(TimeUnix)),
                    Value,
                    Stream,
                    IsMonotonic
                FROM otel.otel_metrics_sum
                WHERE MetricName = {metric:String} AND TimeUnix >= {start:DateTime} AND TimeUnix < {end:DateTime}
            ) AS points
            GROUP BY service, environment, attributes, stream, at
        )
        GROUP BY service, environment, attributes, at
    )
