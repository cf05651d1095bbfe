-- with entries
-- Series of the metrics that have to do with the traces: of the processes that they ran in, of those
-- processes' hosts (system.*), or with an attribute of the transaction in them. A point is that of
-- {step} seconds: a gauge's (or a level's) mean, a monotonic sum's rate per second, a histogram's p95.
-- correlation is Pearson's with the transaction's p95 ({latencies} at {times}).
--
-- A cumulative series needs no more than its last point in each bin and in the bin before, so nothing is
-- sorted but bins. One that fell began again and counts from 0, as one does that was started within the
-- window.
, bins AS
(
    SELECT
        MetricName AS name, any(MetricUnit) AS unit, ServiceName AS service, any(instance) AS resource,
        any(Attributes) AS attributes, cityHash64(instance, Attributes) AS series,
        toUInt32(toStartOfInterval(TimeUnix, toIntervalSecond({step:UInt32}))) AS bin,
        max(by_attribute) AS attribute,
        max(notEmpty(Exemplars.TraceId) AND arrayExists(t -> t IN (SELECT TraceId FROM entries), Exemplars.TraceId)) AS exemplar,
        toUInt8(1) AS level, toUInt8(0) AS delta, toUInt8(0) AS born,
        avg(Value) AS mean, 0.0 AS added, 0.0 AS first, 0.0 AS last,
        emptyArrayFloat64() AS bounds, emptyArrayUInt64() AS counts_added, emptyArrayUInt64() AS counts_first, emptyArrayUInt64() AS counts_last
    FROM
    (
        SELECT *,
            ResourceAttributes['service.instance.id'] AS instance,
            {by_attribute:Bool} AND arrayExists((k, v) -> (k, v) IN {carried:Array(Tuple(String, String))}, mapKeys(Attributes), mapValues(Attributes)) AS by_attribute
        FROM otel.otel_metrics_gauge
        WHERE TimeUnix >= toDateTime({start:DateTime64(9)}) AND TimeUnix <= toDateTime({end:DateTime64(9)})
            AND (ServiceName IN {services:Array(String)} AND ((ServiceName, instance) IN {processes:Array(Tuple(String, String))} OR by_attribute)
                OR startsWith(MetricName, 'system.') AND ResourceAttributes['host.name'] IN {hosts:Array(String)})
    )
    GROUP BY name, service, series, bin
    UNION ALL
    SELECT
        MetricName AS name, any(MetricUnit) AS unit, ServiceName AS service, any(instance) AS resource,
        any(Attributes) AS attributes, cityHash64(instance, Attributes) AS series,
        toUInt32(toStartOfInterval(TimeUnix, toIntervalSecond({step:UInt32}))) AS bin,
        max(by_attribute) AS attribute,
        max(notEmpty(Exemplars.TraceId) AND arrayExists(t -> t IN (SELECT TraceId FROM entries), Exemplars.TraceId)) AS exemplar,
        any(NOT IsMonotonic) AS level, any(AggregationTemporality = 1) AS delta, min(StartTimeUnix) >= toDateTime({start:DateTime64(9)}) AS born,
        avg(Value) AS mean, sum(Value) AS added, argMin(Value, TimeUnix) AS first, argMax(Value, TimeUnix) AS last,
        emptyArrayFloat64() AS bounds, emptyArrayUInt64() AS counts_added, emptyArrayUInt64() AS counts_first, emptyArrayUInt64() AS counts_last
    FROM
    (
        SELECT *,
            ResourceAttributes['service.instance.id'] AS instance,
            {by_attribute:Bool} AND arrayExists((k, v) -> (k, v) IN {carried:Array(Tuple(String, String))}, mapKeys(Attributes), mapValues(Attributes)) AS by_attribute
        FROM otel.otel_metrics_sum
        WHERE TimeUnix >= toDateTime({start:DateTime64(9)}) AND TimeUnix <= toDateTime({end:DateTime64(9)})
            AND (ServiceName IN {services:Array(String)} AND ((ServiceName, instance) IN {processes:Array(Tuple(String, String))} OR by_attribute)
                OR startsWith(MetricName, 'system.') AND ResourceAttributes['host.name'] IN {hosts:Array(String)})
    )
    GROUP BY name, service, series, bin
    UNION ALL
    SELECT
        MetricName AS name, any(MetricUnit) AS unit, ServiceName AS service, any(instance) AS resource,
        any(Attributes) AS attributes, cityHash64(instance, Attributes, ExplicitBounds) AS series,
        toUInt32(toStartOfInterval(TimeUnix, toIntervalSecond({step:UInt32}))) AS bin,
        max(by_attribute) AS attribute,
        max(notEmpty(Exemplars.TraceId) AND arrayExists(t -> t IN (SELECT TraceId FROM entries), Exemplars.TraceId)) AS exemplar,
        toUInt8(0) AS level, any(AggregationTemporality = 1) AS delta, min(StartTimeUnix) >= toDateTime({start:DateTime64(9)}) AS born,
        0.0 AS mean, 0.0 AS added, 0.0 AS first, 0.0 AS last,
        any(ExplicitBounds) AS bounds, sumForEach(BucketCounts) AS counts_added, argMin(BucketCounts, TimeUnix) AS counts_first, argMax(BucketCounts, TimeUnix) AS counts_last
    FROM
    (
        SELECT *,
            ResourceAttributes['service.instance.id'] AS instance,
            {by_attribute:Bool} AND arrayExists((k, v) -> (k, v) IN {carried:Array(Tuple(String, String))}, mapKeys(Attributes), mapValues(Attributes)) AS by_attribute
        FROM otel.otel_metrics_histogram
        WHERE TimeUnix >= toDateTime({start:DateTime64(9)}) AND TimeUnix <= toDateTime({end:DateTime64(9)}) AND notEmpty(ExplicitBounds)
            AND (ServiceName IN {services:Array(String)} AND ((ServiceName, instance) IN {processes:Array(Tuple(String, String))} OR by_attribute)
                OR startsWith(MetricName, 'system.') AND ResourceAttributes['host.name'] IN {hosts:Array(String)})
    )
    GROUP BY name, service, series, bin
),
points AS
(
    SELECT *,
        row_number() OVER along AS nth,
        lagInFrame(last) OVER along AS before,
        lagInFrame(counts_last, 1, counts_last) OVER along AS counts_before,
        multiIf(delta, counts_added,
            nth = 1, if(born, counts_last, arrayMap((l, f) -> toUInt64(l - f), counts_last, counts_first)),
            length(counts_last) != length(counts_before) OR arrayExists((l, b) -> l < b, counts_last, counts_before), counts_last,
            arrayMap((l, b) -> toUInt64(l - b), counts_last, counts_before)) AS counts,
        multiIf(
            notEmpty(bounds), if(arraySum(counts) = 0, nan,
                arrayElement(arrayPushBack(bounds, bounds[-1]),
                    arrayFirstIndex(c -> c >= 0.95 * arraySum(counts), arrayCumSum(counts)))),
            level, mean,
            multiIf(delta, added, nth = 1, if(born, last, last - first), last < before, last, last - before) / {step:UInt32}) AS point,
        transform(bin, {times:Array(UInt32)}, {latencies:Array(Float64)}, nan) AS latency
    FROM bins
    WINDOW along AS (PARTITION BY name, service, series ORDER BY bin ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
),
told AS
(
    SELECT
        name,
        any(points.unit) AS unit,
        service,
        any(points.resource) AS resource,
        any(points.attributes) AS attributes,
        multiIf(max(exemplar), 'exemplar', max(attribute), 'attribute', 'resource') AS linked_by,
        arraySort(groupArray((bin, point))) AS points,
        corrIf(point, latency, NOT isNaN(latency)) AS pearson,
        if(countIf(NOT isNaN(latency)) >= 3 AND isFinite(pearson), pearson, nan) AS correlation
    FROM points
    WHERE NOT isNaN(point)
    GROUP BY name, service, series
)
SELECT
    name, unit, service, resource, attributes, linked_by, points, correlation,
    row_number() OVER (PARTITION BY linked_by, service, name ORDER BY resource, cityHash64(attributes)) AS alike
FROM told
ORDER BY linked_by = 'exemplar' DESC, linked_by, if(isNaN(correlation), 0, abs(correlation)) DESC, alike, name, service, resource, cityHash64(attributes)
LIMIT {limit:UInt32} BY linked_by
