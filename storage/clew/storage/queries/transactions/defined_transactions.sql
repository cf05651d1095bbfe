-- The defined transactions of a window, counted from their occurrences. In the order of {ids} are {targets}, the
-- thresholds of Apdex, and {latencies}, the longest duration of a good occurrence, both in nanoseconds.
SELECT
    Transaction AS id,
    count() AS count,
    countIf(IsError) AS errors,
    countIf(EntryDuration <= target) AS satisfied,
    countIf(EntryDuration > target AND EntryDuration <= 4 * target) AS tolerating,
    sum(EntryDuration) AS total_ns,
    quantilesDD(0.01, 0.5, 0.9, 0.95, 0.99)(EntryDuration) AS nanoseconds,
    arrayMap(quantile -> quantile / 1e6, nanoseconds) AS quantiles,
    max(EntryDuration) / 1e6 AS max,
    sum(Value) AS value,
    sumIf(Value, IsError) AS lost,
    -- the value of those that were slower than the 95th percentile
    arraySum(
        occurrence -> if(occurrence.duration > nanoseconds[3], occurrence.value, 0),
        groupArrayIf((EntryDuration, assumeNotNull(Value)), NOT IsError AND isNotNull(Value))
            ::Array(Tuple(duration UInt64, value Float64))) AS at_risk,
    countIf(clew_is_good(IsError, EntryDuration, latency)) AS good_count,
    arraySort(groupUniqArrayArray(arrayMap(service -> toString(service), Services))) AS services,
    topK(1)((toString(EntryService), toString(EntryOperation)))[1] AS entry,
    clew_time(min(occurrences.Start)) AS earliest,
    clew_time(max(occurrences.End)) AS latest
FROM
(
    SELECT *,
        transform(toString(Transaction), {ids:Array(String)}, {targets:Array(Float64)}, 5e8) AS target,
        transform(toString(Transaction), {ids:Array(String)}, {latencies:Array(Float64)}, inf) AS latency
    FROM otel.clew_occurrences FINAL
    PREWHERE Transaction IN {ids:Array(String)}
        AND Timestamp >= {start:DateTime64(9)} AND Timestamp < {end:DateTime64(9)}
    WHERE {environment:Nullable(String)} IS NULL OR Environment = {environment:Nullable(String)}
) AS occurrences
GROUP BY Transaction
