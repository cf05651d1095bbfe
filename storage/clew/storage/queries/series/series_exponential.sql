-- The points of an exponential histogram, run by run (see series_rates), from {before} seconds before the
-- window on; {filters} as in trace_search. Their buckets change from point to point, so the reader takes one
-- from the other. A sum, least and greatest value that a point does not have is NULL.
SELECT
    ServiceName AS service,
    arrayMap(key -> if(mapContains(Attributes, key), Attributes[key], ResourceAttributes[key]), {by:Array(String)}) AS labels,
    concat(toString(Stream), ' ', toString(StartTimeUnix), ' ', toString(StartTimeUnixNanos)) AS run,
    toUnixTimestamp(TimeUnix) AS time,
    StartTimeUnix > {start:DateTime64(9)} - toIntervalSecond({before:UInt32})
        AND (TimeUnix, TimeUnixNanos) != (StartTimeUnix, StartTimeUnixNanos) AS is_new,
    AggregationTemporality AS temporality,
    Count AS count,
    if(HasSum AND isFinite(Sum), Sum, NULL) AS total,
    if(HasMin AND isFinite(Min), Min, NULL) AS least,
    if(HasMax AND isFinite(Max), Max, NULL) AS most,
    Scale AS scale,
    ZeroCount AS zeros,
    PositiveOffset AS offset,
    PositiveBucketCounts AS counts,
    NegativeOffset AS negative_offset,
    NegativeBucketCounts AS negative_counts
FROM otel.otel_metrics_exponential_histogram
WHERE MetricName = {name:String}
    AND TimeUnix >= {start:DateTime64(9)} - toIntervalSecond({before:UInt32}) AND TimeUnix < {end:DateTime64(9)}
    AND ({service:Nullable(String)} IS NULL OR ServiceName = {service:Nullable(String)})
    AND ({environment:Nullable(String)} IS NULL OR clew_environment(ResourceAttributes) = {environment:Nullable(String)})
    AND ({unit:Nullable(String)} IS NULL OR MetricUnit = {unit:Nullable(String)})
    AND bitAnd(Flags, 1) = 0
    /*filters*/
ORDER BY service, run, time, TimeUnixNanos, count
LIMIT {limit:UInt32}
