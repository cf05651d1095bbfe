-- with entries
-- Histograms that have to do with the traces, chosen and correlated as in linked_gauges. A point is the p95
-- of {step} seconds: the bound of the bucket that it lies in. Cumulative ones as in linked_sums.
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
        lagInFrame(last, 1, last) OVER along AS before,
        multiIf(delta, added,
            row_number() OVER along = 1, if(born, last, arrayMap((l, f) -> toUInt64(l - f), last, first)),
            length(last) != length(before) OR arrayExists((l, b) -> l < b, last, before), last,
            arrayMap((l, b) -> toUInt64(l - b), last, before)) AS counts,
        arrayElement(arrayPushBack(bounds, bounds[-1]),
            arrayFirstIndex(c -> c >= 0.95 * arraySum(counts), arrayCumSum(counts))) AS point
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
            any(ExplicitBounds) AS bounds, any(AggregationTemporality = 1) AS delta,
            min(StartTimeUnix) >= toDateTime({start:DateTime64(9)}) AS born,
            sumForEach(BucketCounts) AS added, argMin(BucketCounts, TimeUnix) AS first, argMax(BucketCounts, TimeUnix) AS last
        FROM otel.otel_metrics_histogram
        WHERE TimeUnix >= toDateTime({start:DateTime64(9)}) AND TimeUnix <= toDateTime({end:DateTime64(9)}) AND notEmpty(ExplicitBounds)
            AND (ServiceName IN {services:Array(String)} AND ((ServiceName, Instance) IN {processes:Array(Tuple(String, String))} OR carries)
                OR startsWith(MetricName, 'system.') AND Host IN {hosts:Array(String)})
        GROUP BY name, service, series, bin
    )
    WINDOW along AS (PARTITION BY name, service, series ORDER BY bin ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
)
WHERE arraySum(counts) > 0
GROUP BY name, service, series
ORDER BY linked_by, ifNull(abs(correlation), 0) DESC, alike, name, service, resource, cityHash64(attributes)
LIMIT {limit:UInt32} BY linked_by
