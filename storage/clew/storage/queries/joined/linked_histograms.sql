-- Histograms that may have to do with some traces, chosen as in linked_gauges. A point is the p95 of {step} seconds: the
-- bound of the bucket that it lies in. What a stream's buckets went up by is worked out run by run, as
-- series_histograms has it. Buckets that do not fit their bounds are left out.
SELECT
    name, any(unit) AS unit, service, any(host) AS host, any(instance) AS instance, any(attributes) AS attributes, series,
    max(has_exemplars) AS has_exemplars, groupUniqArrayArray(ids) AS exemplars,
    max(by_attribute) AS by_attribute,
    arraySort(groupArrayIf(
        (bin, bounds[least(arrayFirstIndex(total -> total >= 0.95 * arraySum(counts), arrayCumSum(counts)), length(bounds))]),
        arraySum(counts) > 0)) AS points
FROM
(
    SELECT
        name, any(unit) AS unit, service, any(host) AS host, any(instance) AS instance, any(attributes) AS attributes, series, bin,
        max(has_exemplars) AS has_exemplars, groupUniqArrayArray(exemplars) AS ids, max(by_attribute) AS by_attribute,
        any(bounds) AS bounds, sumForEach(rise) AS counts
    FROM
    (
        WITH notEmpty({carried:Array(Tuple(String, String))}) AND hasAny(arrayZip(mapKeys(Attributes), mapValues(Attributes)), {carried:Array(Tuple(String, String))}) AS carries
        SELECT
            MetricName AS name, any(MetricUnit) AS unit, ServiceName AS service, any(Host) AS host, any(Instance) AS instance,
            any(Attributes) AS attributes, Stream AS series, ExplicitBounds AS bounds,
            AggregationTemporality = 1 AS is_delta,
            if(is_delta, (0, 0), (toUnixTimestamp(StartTimeUnix), StartTimeUnixNanos)) AS run,
            arraySort(groupArray((TimeUnix, TimeUnixNanos, Count, BucketCounts::Array(Int64),
                toUInt32(toStartOfInterval(TimeUnix, toIntervalSecond({step:UInt32}))),
                if({with_exemplars:Bool}, Exemplars.TraceId, [])))) AS sorted,
            any(StartTimeUnix) >= toDateTime({start:DateTime64(9)}) AND (sorted[1].1, sorted[1].2) != (any(StartTimeUnix), any(StartTimeUnixNanos)) AS is_new,
            max(notEmpty(Exemplars.TraceId)) AS has_exemplars,
            max(carries) AS by_attribute
        FROM otel.otel_metrics_histogram
        PREWHERE TimeUnix >= toDateTime({start:DateTime64(9)}) AND TimeUnix <= toDateTime({end:DateTime64(9)})
        WHERE bitAnd(Flags, 1) = 0 AND notEmpty(ExplicitBounds) AND length(BucketCounts) = length(ExplicitBounds) + 1
            AND (ServiceName IN {services:Array(String)} AND ((ServiceName, Instance) IN {processes:Array(Tuple(String, String))} OR carries)
                OR startsWith(MetricName, 'system.') AND Host IN {hosts:Array(String)})
        GROUP BY name, service, series, bounds, is_delta, run
    )
    ARRAY JOIN
        sorted.5 AS bin,
        sorted.6 AS exemplars,
        arrayMap(
            (buckets, previous, number) -> if(is_delta OR number = 1 AND is_new OR arrayMin(buckets - previous) < 0, buckets, buckets - previous),
            sorted.4, arrayPushFront(arrayPopBack(sorted.4), sorted.4[1]), arrayEnumerate(sorted.4)) AS rise
    GROUP BY name, service, series, bin
)
GROUP BY name, service, series
