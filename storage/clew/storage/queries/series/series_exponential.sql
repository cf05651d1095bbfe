-- The points of an exponential histogram, series by series, from {before} seconds before the window on;
-- {filters} as in trace_search. Their buckets change from point to point, so who reads them takes one
-- from the other.
SELECT
    ServiceName AS service,
    arrayMap(key -> if(mapContains(Attributes, key), Attributes[key], ResourceAttributes[key]), {by:Array(String)}) AS labels,
    toString(cityHash64(ResourceAttributes, Attributes)) AS series,
    toUnixTimestamp(TimeUnix) AS time,
    toUnixTimestamp(StartTimeUnix) AS started,
    AggregationTemporality AS temporality,
    Count AS count,
    Sum AS total,
    Min AS least,
    Max AS most,
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
    /*filters*/
ORDER BY service, series, time
LIMIT {limit:UInt32}
