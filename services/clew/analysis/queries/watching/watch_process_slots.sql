-- What each stream of these metrics was in slots of five minutes: a level, or the rate a second of what only rises. As process_slots.sql, without the
-- maps of attributes, which take three quarters of its time: to what a stream belongs is known from watch_process_streams.sql.
SELECT
    toUnixTimestamp(toStartOfFiveMinutes(TimeUnix)) AS at,
    Stream AS stream,
    ifNull(multiIf(
        any(is_delta), sum(number) / 300,
        NOT any(is_rising), avg(number),
        count() < 2, NULL,
        (max(number) - min(number)) / greatest(max(toUnixTimestamp(TimeUnix)) - min(toUnixTimestamp(TimeUnix)), 1)), nan) AS amount
FROM
(
    SELECT TimeUnix, toDateTime(0) AS Began, Stream, Flags, Value AS number, false AS is_rising, false AS is_delta
    FROM otel.otel_metrics_gauge
    WHERE MetricName IN splitByChar(',', {metrics:String}) AND TimeUnix >= {start:DateTime} AND TimeUnix < {end:DateTime}
    UNION ALL
    SELECT TimeUnix, if(IsMonotonic, StartTimeUnix, toDateTime(0)), Stream, Flags, Value, IsMonotonic,
        IsMonotonic AND AggregationTemporality = 1
    FROM otel.otel_metrics_sum
    WHERE MetricName IN splitByChar(',', {metrics:String}) AND TimeUnix >= {start:DateTime} AND TimeUnix < {end:DateTime}
    UNION ALL
    SELECT TimeUnix, StartTimeUnix, Stream, Flags, Sum, true, AggregationTemporality = 1
    FROM otel.otel_metrics_histogram
    WHERE MetricName IN splitByChar(',', {metrics:String}) AND TimeUnix >= {start:DateTime} AND TimeUnix < {end:DateTime}
)
WHERE bitAnd(Flags, 1) = 0 AND isFinite(number)
GROUP BY at, Stream, Began
