-- What came into a histogram's buckets, in steps of time, as series_rates has it for sums; {filters} as in
-- trace_search.
WITH points AS
(
    SELECT ServiceName, ResourceAttributes, Attributes, TimeUnix, StartTimeUnix, AggregationTemporality,
           Count, Sum, Min, Max, ExplicitBounds AS bounds, BucketCounts AS buckets
    FROM otel.otel_metrics_histogram
    WHERE MetricName = {name:String}
        AND TimeUnix >= {start:DateTime64(9)} - toIntervalSecond({before:UInt32}) AND TimeUnix < {end:DateTime64(9)}
        AND ({service:Nullable(String)} IS NULL OR ServiceName = {service:Nullable(String)})
        AND ({environment:Nullable(String)} IS NULL OR clew_environment(ResourceAttributes) = {environment:Nullable(String)})
        /*filters*/
),
steps AS
(
    SELECT *,
        row_number() OVER series AS nth,
        lagInFrame(Count) OVER series AS last,
        lagInFrame(Sum) OVER series AS last_sum,
        lagInFrame(TimeUnix) OVER series AS before,
        lagInFrame(buckets) OVER series AS last_buckets,
        multiIf(AggregationTemporality = 1, 1,
                nth = 1, if(StartTimeUnix >= {start:DateTime64(9)}, 1, 0),
                Count < last OR StartTimeUnix > before OR length(buckets) != length(last_buckets)
                    OR arrayExists((b, p) -> b < p, buckets, last_buckets), 1,
                2) AS counts_as
    FROM points
    WINDOW series AS (PARTITION BY ServiceName, cityHash64(ResourceAttributes, Attributes), bounds
                      ORDER BY TimeUnix ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
)
SELECT
    ServiceName AS service,
    arrayMap(key -> if(mapContains(Attributes, key), Attributes[key], ResourceAttributes[key]), {by:Array(String)}) AS labels,
    toUnixTimestamp(toStartOfInterval(TimeUnix, toIntervalSecond({step:UInt32}))) AS time,
    bounds,
    sum(multiIf(counts_as = 0, 0, counts_as = 1, toInt64(Count), toInt64(Count - last))) AS count,
    sum(multiIf(counts_as = 0, 0., counts_as = 1, Sum, Sum - last_sum)) AS total,
    min(Min) AS least,
    max(Max) AS most,
    sumForEach(multiIf(counts_as = 0, arrayMap(b -> toUInt64(0), buckets), counts_as = 1, buckets,
        arrayMap((b, p) -> toUInt64(b - p), buckets, last_buckets))) AS counts
FROM steps
WHERE TimeUnix >= {start:DateTime64(9)}
GROUP BY service, labels, time, bounds
ORDER BY service, labels, time
