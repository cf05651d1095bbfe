-- with entries
-- Sums that have to do with the traces, chosen and correlated as in linked_gauges. A point is the rate per
-- second in {step} seconds, of a level (a sum that is not monotonic) its mean. A cumulative series needs no
-- more than its last point in each of them and in those before, so nothing is sorted but bins. One that fell
-- began again and counts from 0, as one does that was started within the window.
SELECT
    name,
    any(unit) AS unit,
    service,
    any(resource) AS resource,
    any(attributes) AS attributes,
    multiIf(max(by_exemplar), 'exemplar', max(by_attribute), 'attribute', 'resource') AS linked_by,
    arraySort(groupArray((bin, point))) AS points,
    corrIf(point, latency, NOT isNaN(latency)) AS pearson,
    if(countIf(NOT isNaN(latency)) >= 3 AND isFinite(pearson), pearson, NULL) AS correlation,
    row_number() OVER (PARTITION BY linked_by, service, name ORDER BY resource, cityHash64(attributes)) AS alike
FROM
(
    SELECT *, transform(bin, {times:Array(UInt32)}, {latencies:Array(Float64)}, nan) AS latency,
        lagInFrame(last) OVER along AS before,
        multiIf(NOT monotonic, mean * {step:UInt32}, delta, added, row_number() OVER along = 1, if(born, last, last - first),
            last < before, last, last - before) / {step:UInt32} AS point
    FROM
    (
        WITH {by_attribute:Bool} AND arrayExists((k, v) -> (k, v) IN {carried:Array(Tuple(String, String))}, mapKeys(Attributes), mapValues(Attributes)) AS carries
        SELECT
            MetricName AS name, any(MetricUnit) AS unit, ServiceName AS service, any(Instance) AS resource,
            any(Attributes) AS attributes, Series AS series,
            toUInt32(toStartOfInterval(TimeUnix, toIntervalSecond({step:UInt32}))) AS bin,
            max(carries) AS by_attribute,
            max(notEmpty(Exemplars.TraceId) AND arrayExists(t -> t IN (
                SELECT TraceId FROM entries
                WHERE modulo(toUnixTimestamp64Nano(Timestamp) - toUnixTimestamp64Nano({start:DateTime64(9)}), {stride:UInt64}) < {part:UInt64}), Exemplars.TraceId)) AS by_exemplar,
            any(IsMonotonic) AS monotonic, any(AggregationTemporality = 1) AS delta,
            min(StartTimeUnix) >= toDateTime({start:DateTime64(9)}) AS born,
            avg(Value) AS mean, sum(Value) AS added, argMin(Value, TimeUnix) AS first, argMax(Value, TimeUnix) AS last
        FROM otel.otel_metrics_sum
        WHERE TimeUnix >= toDateTime({start:DateTime64(9)}) AND TimeUnix <= toDateTime({end:DateTime64(9)})
            AND (ServiceName IN {services:Array(String)} AND ((ServiceName, Instance) IN {processes:Array(Tuple(String, String))} OR carries)
                OR startsWith(MetricName, 'system.') AND Host IN {hosts:Array(String)})
        GROUP BY name, service, series, bin
    )
    WINDOW along AS (PARTITION BY name, service, series ORDER BY bin ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
)
GROUP BY name, service, series
ORDER BY linked_by, ifNull(abs(correlation), 0) DESC, alike, name, service, resource, cityHash64(attributes)
LIMIT {limit:UInt32} BY linked_by
