-- with entries
-- Sums that have to do with the traces, chosen and correlated as in linked_gauges. A point is the rate per
-- second in {step} seconds; of a cumulative sum that is not monotonic the mean of its values. What a stream went
-- up by is worked out run by run, as series_rates has it: all of it where a run began within the window.
SELECT
    name, unit, service, resource, attributes, linked_by, points, correlation,
    row_number() OVER (PARTITION BY linked_by, service, name ORDER BY resource, cityHash64(attributes)) AS alike
FROM
(
    SELECT
        name,
        any(unit) AS unit,
        service,
        any(resource) AS resource,
        any(attributes) AS attributes,
        multiIf(max(by_exemplar), 'exemplar', max(by_attribute), 'attribute', 'resource') AS linked_by,
        arraySort(groupArray((bin, point))) AS points,
        corrStableIf(point, latency, NOT isNaN(latency)) AS pearson,
        if(countIf(NOT isNaN(latency)) >= 3 AND isFinite(pearson), round(pearson, 6), NULL) AS correlation,
        if(any(host) = '', cityHash64(service, series), cityHash64(any(host), attributes)) AS source
    FROM
    (
        SELECT name, any(unit) AS unit, service, any(resource) AS resource, any(host) AS host, any(attributes) AS attributes, series, bin,
            max(by_exemplar) AS by_exemplar, max(by_attribute) AS by_attribute,
            transform(bin, {times:Array(UInt32)}, {latencies:Array(Float64)}, nan) AS latency,
            if(any(is_level), avg(rise), sum(rise) / {step:UInt32}) AS point
        FROM
        (
            SELECT *,
                arrayJoin(arrayZip(
                    arrayMap(time -> toUInt32(toStartOfInterval(time, toIntervalSecond({step:UInt32}))), sorted.1),
                    arrayMap(
                        (value, previous, number) -> multiIf(
                            is_delta OR is_level, value,
                            number = 1, if(is_new, value, 0),
                            value < previous, value,
                            value - previous),
                        sorted.3, arrayPushFront(arrayPopBack(sorted.3), 0), arrayEnumerate(sorted.3)))) AS binned,
                binned.1 AS bin, binned.2 AS rise
            FROM
            (
                WITH {by_attribute:Bool} AND arrayExists((name, value) -> (name, value) IN {carried:Array(Tuple(String, String))}, mapKeys(Attributes), mapValues(Attributes)) AS carries
                SELECT
                    MetricName AS name, any(MetricUnit) AS unit, ServiceName AS service, any(if(startsWith(MetricName, 'system.'), Host, '')) AS host, any(if(Instance = '' OR startsWith(MetricName, 'system.') AND Host != '', Host, Instance)) AS resource,
                    any(Attributes) AS attributes, Stream AS series,
                    AggregationTemporality = 1 AS is_delta,
                    if(is_delta, (0, 0), (toUnixTimestamp(StartTimeUnix), StartTimeUnixNanos)) AS run,
                    any(NOT IsMonotonic) AND NOT is_delta AS is_level,
                    arraySort(groupArray((TimeUnix, TimeUnixNanos, Value))) AS sorted,
                    any(StartTimeUnix) >= toDateTime({start:DateTime64(9)}) AND (sorted[1].1, sorted[1].2) != (any(StartTimeUnix), any(StartTimeUnixNanos)) AS is_new,
                    max(carries) AS by_attribute,
                    max(notEmpty(Exemplars.TraceId) AND arrayExists(trace_id -> trace_id IN (
                        SELECT TraceId FROM entries
                        WHERE modulo(toUnixTimestamp64Nano(Timestamp) - toUnixTimestamp64Nano({start:DateTime64(9)}), {stride:UInt64}) < {part:UInt64}), Exemplars.TraceId)) AS by_exemplar
                FROM otel.otel_metrics_sum
                WHERE TimeUnix >= toDateTime({start:DateTime64(9)}) AND TimeUnix <= toDateTime({end:DateTime64(9)})
                    AND bitAnd(Flags, 1) = 0 AND isFinite(Value)
                    AND (ServiceName IN {services:Array(String)} AND ((ServiceName, Instance) IN {processes:Array(Tuple(String, String))} OR carries)
                        OR startsWith(MetricName, 'system.') AND Host IN {hosts:Array(String)})
                GROUP BY name, service, series, is_delta, run
            )
        )
        GROUP BY name, service, series, bin
    )
    GROUP BY name, service, series
    -- Of what several services report of one host, the series with the most points.
    ORDER BY length(points) DESC, service, series
    LIMIT 1 BY name, source
)
ORDER BY linked_by, ifNull(abs(correlation), 0) DESC, alike, name, service, resource, cityHash64(attributes)
LIMIT {limit:UInt32} BY linked_by
