-- with linked_traces
-- Series of the metrics that have to do with some traces: an exemplar of one of them, or from one of
-- the processes they ran in. Points by {step} seconds: a gauge's (or a level's) mean, a monotonic
-- sum's rate per second, a histogram's p95.
, points AS
(
    SELECT MetricName, MetricUnit, ServiceName, ResourceAttributes['service.instance.id'] AS instance,
           Attributes, TimeUnix, toUInt8(0) AS born, toUInt8(1) AS level, 2 AS temporality, Value AS value,
           emptyArrayUInt64() AS buckets, emptyArrayFloat64() AS bounds,
           arrayExists(t -> t IN traces, Exemplars.TraceId) AS by_exemplar
    FROM otel.otel_metrics_gauge
    WHERE ServiceName IN {services:Array(String)}
        AND TimeUnix >= toDateTime({start:DateTime64(9)}) AND TimeUnix <= toDateTime({end:DateTime64(9)})
    UNION ALL
    SELECT MetricName, MetricUnit, ServiceName, ResourceAttributes['service.instance.id'], Attributes, TimeUnix,
           StartTimeUnix >= toDateTime({start:DateTime64(9)}), toUInt8(NOT IsMonotonic), AggregationTemporality, Value, emptyArrayUInt64(), emptyArrayFloat64(),
           arrayExists(t -> t IN traces, Exemplars.TraceId)
    FROM otel.otel_metrics_sum
    WHERE ServiceName IN {services:Array(String)}
        AND TimeUnix >= toDateTime({start:DateTime64(9)}) AND TimeUnix <= toDateTime({end:DateTime64(9)})
    UNION ALL
    SELECT MetricName, MetricUnit, ServiceName, ResourceAttributes['service.instance.id'], Attributes, TimeUnix,
           StartTimeUnix >= toDateTime({start:DateTime64(9)}), toUInt8(0), AggregationTemporality, Sum, BucketCounts, ExplicitBounds,
           arrayExists(t -> t IN traces, Exemplars.TraceId)
    FROM otel.otel_metrics_histogram
    WHERE ServiceName IN {services:Array(String)} AND notEmpty(ExplicitBounds)
        AND TimeUnix >= toDateTime({start:DateTime64(9)}) AND TimeUnix <= toDateTime({end:DateTime64(9)})
),
-- What each point adds to the one before it in its series. A counter that fell, or that began within
-- the window, counts from 0.
steps AS
(
    SELECT *,
        row_number() OVER series AS nth,
        lagInFrame(value) OVER series AS before,
        lagInFrame(buckets) OVER series AS buckets_before,
        multiIf(temporality = 1, value, nth = 1, if(born, value, 0), value < before, value, value - before) AS added,
        multiIf(temporality = 1, buckets,
                nth = 1, if(born, buckets, arrayMap(b -> toUInt64(0), buckets)),
                length(buckets) != length(buckets_before) OR arrayExists((b, p) -> b < p, buckets, buckets_before), buckets,
                arrayMap((b, p) -> toUInt64(b - p), buckets, buckets_before)) AS buckets_added
    FROM points
    WHERE (ServiceName, instance) IN {processes:Array(Tuple(String, String))}
    WINDOW series AS (PARTITION BY MetricName, ServiceName, instance, Attributes, bounds
                      ORDER BY TimeUnix ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
),
bins AS
(
    SELECT MetricName, any(MetricUnit) AS unit, ServiceName, instance, Attributes, bounds,
           toStartOfInterval(TimeUnix, toIntervalSecond({step:UInt32})) AS bin,
           max(by_exemplar) AS exemplar,
           sumForEach(buckets_added) AS counts,
           arraySum(counts) AS observed,
           multiIf(
               notEmpty(bounds), if(observed = 0, nan,
                   arrayElement(arrayPushBack(bounds, bounds[-1]),
                       arrayFirstIndex(c -> c >= 0.95 * observed, arrayCumSum(counts)))),
               any(level), avg(value),
               sum(added) / {step:UInt32}) AS point
    FROM steps
    GROUP BY MetricName, ServiceName, instance, Attributes, bounds, bin
)
SELECT
    MetricName AS name,
    any(bins.unit) AS unit,
    ServiceName AS service,
    instance AS resource,
    Attributes AS attributes,
    if(max(exemplar), 'exemplar', 'resource') AS linked_by,
    arraySort(groupArrayIf((toUnixTimestamp(bin), point), NOT isNaN(point))) AS points
FROM bins
GROUP BY name, service, resource, attributes
HAVING notEmpty(points)
ORDER BY linked_by, name, service, resource, cityHash64(attributes)
LIMIT {limit:UInt32}
