-- What came into a histogram's buckets, in steps of time: increments within runs, as series_rates has them for
-- sums, and between points with equal bounds; {filters} as in trace_search. Buckets that do not fit their
-- bounds are left out, and so are a sum, least and greatest value that a point does not have, or that are no
-- numbers: `summed` says of how many of the `count` values the `total` is.
WITH points AS
(
    SELECT ServiceName, ResourceAttributes, Attributes, Stream, TimeUnix, TimeUnixNanos, StartTimeUnix, StartTimeUnixNanos,
           AggregationTemporality = 1 AS is_delta, Count, BucketCounts, HasSum,
           HasSum AND isFinite(Sum) AS has_sum, if(has_sum, Sum, 0) AS total_value,
           if(HasMin AND isFinite(Min), Min, NULL) AS least_value, if(HasMax AND isFinite(Max), Max, NULL) AS most_value,
           -- some writers name the infinite bound too
           if(notEmpty(ExplicitBounds) AND NOT isFinite(ExplicitBounds[-1]), arrayPopBack(ExplicitBounds), ExplicitBounds) AS finite,
           length(BucketCounts) IN (length(finite) + 1, length(ExplicitBounds) + 1) AND notEmpty(finite)
               AND arrayAll(bound -> isFinite(bound), finite) AS fits,
           if(fits, finite, []) AS bounds,
           if(fits, arrayConcat(arraySlice(BucketCounts, 1, length(finite)),
               [arraySum(arraySlice(BucketCounts, length(finite) + 1))]), emptyArrayUInt64()) AS buckets
    FROM otel.otel_metrics_histogram
    WHERE MetricName = {name:String}
        AND TimeUnix >= {start:DateTime64(9)} - toIntervalSecond({before:UInt32}) AND TimeUnix < {end:DateTime64(9)}
        AND ({service:Nullable(String)} IS NULL OR ServiceName = {service:Nullable(String)})
        AND ({environment:Nullable(String)} IS NULL OR clew_environment(ResourceAttributes) = {environment:Nullable(String)})
        AND ({unit:Nullable(String)} IS NULL OR MetricUnit = {unit:Nullable(String)})
        AND bitAnd(Flags, 1) = 0
        /*filters*/
),
steps AS
(
    SELECT *,
        StartTimeUnix > {start:DateTime64(9)} - toIntervalSecond({before:UInt32})
            AND (TimeUnix, TimeUnixNanos) != (StartTimeUnix, StartTimeUnixNanos) AS is_new,
        row_number() OVER run AS number,
        lagInFrame(Count) OVER run AS previous,
        lagInFrame(total_value) OVER run AS previous_total,
        lagInFrame(has_sum) OVER run AS previous_has_sum,
        lagInFrame(buckets) OVER run AS previous_buckets,
        -- 0: adds nothing; 1: adds all of it; 2: adds what it has more than the point before
        multiIf(is_delta, 1,
                number = 1, if(is_new, 1, 0),
                Count < previous OR arrayExists((now, before) -> now < before, buckets, previous_buckets), 1,
                2) AS counts_as
    FROM points
    WINDOW run AS (PARTITION BY ServiceName, Stream, bounds, if(is_delta, (0, 0), (toUnixTimestamp(StartTimeUnix), StartTimeUnixNanos))
                   ORDER BY TimeUnix, TimeUnixNanos, Count ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
)
SELECT
    ServiceName AS service,
    arrayMap(key -> if(mapContains(Attributes, key), Attributes[key], ResourceAttributes[key]), {by:Array(String)}) AS labels,
    toUnixTimestamp(toStartOfInterval(TimeUnix, toIntervalSecond({step:UInt32}))) AS time,
    bounds,
    countIf((notEmpty(BucketCounts) AND NOT fits) OR (HasSum AND NOT has_sum)) AS left_out,
    sum(multiIf(counts_as = 0, 0, counts_as = 1, toInt64(Count), toInt64(Count - previous))) AS count,
    sumIf(multiIf(counts_as = 0, 0, counts_as = 1, toInt64(Count), toInt64(Count - previous)),
        has_sum AND (counts_as != 2 OR previous_has_sum)) AS summed,
    sumIf(multiIf(counts_as = 0, 0., counts_as = 1, total_value, total_value - previous_total),
        has_sum AND (counts_as != 2 OR previous_has_sum)) AS total,
    min(least_value) AS least,
    max(most_value) AS most,
    sumForEach(multiIf(counts_as = 0, arrayMap(bucket -> toUInt64(0), buckets), counts_as = 1, buckets,
        arrayMap((now, before) -> toUInt64(now - before), buckets, previous_buckets))) AS counts
FROM steps
WHERE TimeUnix >= {start:DateTime64(9)}
GROUP BY service, labels, time, bounds
ORDER BY service, labels, time
