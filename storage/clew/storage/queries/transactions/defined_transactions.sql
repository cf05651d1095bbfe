-- The defined transactions of a window, counted from their occurrences; and how many occurrences, and bad ones, lie
-- in each of the times before its end over which burn rates are computed. In the order of {ids} are {targets}, the
-- thresholds of Apdex, and {latencies}, the longest duration of a good occurrence, both in nanoseconds.
-- (The burn rates themselves, clew_burn_rate, are computed in Python: here they took 2 ms more to plan than 9.)
SELECT
    Transaction AS id,
    countIf(inside) AS count,
    countIf(inside AND IsError) AS errors,
    countIf(inside AND EntryDuration <= target) AS satisfied,
    countIf(inside AND EntryDuration > target AND EntryDuration <= 4 * target) AS tolerating,
    sumIf(EntryDuration, inside) AS total_ns,
    quantilesDDIf(0.01, 0.5, 0.9, 0.95, 0.99)(EntryDuration, inside) AS nanoseconds,
    if(count = 0, [NULL, NULL, NULL, NULL], arrayMap(quantile -> toNullable(quantile / 1e6), nanoseconds)) AS quantiles,
    if(count = 0, NULL, maxIf(EntryDuration, inside) / 1e6) AS max,
    sumIf(Value, inside) AS value,
    sumIf(Value, inside AND IsError) AS lost,
    -- the value of those that were slower than the 95th percentile
    arraySum(
        occurrence -> if(occurrence.duration > nanoseconds[3], occurrence.value, 0),
        groupArrayIf((EntryDuration, assumeNotNull(Value)), inside AND NOT IsError AND isNotNull(Value))
            ::Array(Tuple(duration UInt64, value Float64))) AS at_risk,
    countIf(inside AND good) AS good_count,
    [
        countIf(age <= clew_burn_windows()[1]),
        countIf(age <= clew_burn_windows()[2]),
        countIf(age <= clew_burn_windows()[3])
    ] AS recent,
    [
        countIf(age <= clew_burn_windows()[1] AND NOT good),
        countIf(age <= clew_burn_windows()[2] AND NOT good),
        countIf(age <= clew_burn_windows()[3] AND NOT good)
    ] AS recent_bad,
    arraySort(groupUniqArrayArrayIf(arrayMap(service -> toString(service), Services), inside)) AS services,
    topKIf(1)((toString(EntryService), toString(EntryOperation)), inside)[1] AS entry,
    clew_time(minIf(Start, inside)) AS earliest,
    clew_time(maxIf(End, inside)) AS latest
FROM
(
    SELECT *,
        Timestamp >= {start:DateTime64(9)} AS inside,
        transform(toString(Transaction), {ids:Array(String)}, {targets:Array(Float64)}, 5e8) AS target,
        transform(toString(Transaction), {ids:Array(String)}, {latencies:Array(Float64)}, inf) AS latency,
        clew_is_good(IsError, EntryDuration, latency) AS good,
        (toUnixTimestamp64Nano({end:DateTime64(9)}) - toUnixTimestamp64Nano(Timestamp)) / 1e9 AS age
    FROM otel.clew_occurrences FINAL
    PREWHERE Transaction IN {ids:Array(String)}
        AND Timestamp >= least({start:DateTime64(9)}, {end:DateTime64(9)} - toIntervalSecond(clew_burn_windows()[3]))
        AND Timestamp < {end:DateTime64(9)}
    WHERE {environment:Nullable(String)} IS NULL OR Environment = {environment:Nullable(String)}
)
GROUP BY Transaction
