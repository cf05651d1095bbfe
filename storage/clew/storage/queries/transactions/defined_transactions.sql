-- Defined transactions of a window, as their occurrences say, and how their error budgets were spent in
-- the last hour, 6 hours and 3 days of it. {targets} are Apdex's, {limits} what an occurrence may take
-- and still be good, both in nanoseconds and by the place in {ids}.
SELECT
    Transaction AS id,
    countIf(inside) AS count,
    countIf(inside AND IsError) AS errors,
    countIf(inside AND EntryDuration <= target) AS satisfied,
    countIf(inside AND EntryDuration > target AND EntryDuration <= 4 * target) AS tolerating,
    quantilesDDIf(0.01, 0.5, 0.9, 0.95, 0.99)(EntryDuration, inside) AS nanoseconds,
    if(count = 0, [NULL, NULL, NULL, NULL], arrayMap(x -> toNullable(x / 1e6), nanoseconds)) AS quantiles,
    if(count = 0, NULL, maxIf(EntryDuration, inside) / 1e6) AS max,
    sumIf(Value, inside) AS value,
    sumIf(Value, inside AND IsError) AS lost,
    arraySum(arrayMap(x -> if(x.1 > nanoseconds[3], x.2, 0),
        groupArrayIf((EntryDuration, assumeNotNull(Value)), inside AND NOT IsError AND isNotNull(Value)))) AS at_risk,
    countIf(inside AND good) AS good_count,
    [countIf(since <= 3600), countIf(since <= 21600), countIf(since <= 259200)] AS recent,
    [countIf(since <= 3600 AND NOT good), countIf(since <= 21600 AND NOT good), countIf(since <= 259200 AND NOT good)] AS recent_bad,
    arraySort(groupUniqArrayArrayIf(arrayMap(service -> toString(service), Services), inside)) AS services,
    topKIf(1)((toString(EntryService), toString(EntryOperation)), inside)[1] AS entry,
    clew_time(minIf(Start, inside)) AS earliest,
    clew_time(maxIf(End, inside)) AS latest
FROM
(
    SELECT *,
        Timestamp >= {start:DateTime64(9)} AS inside,
        transform(toString(Transaction), {ids:Array(String)}, {targets:Array(Float64)}, 5e8) AS target,
        NOT IsError AND EntryDuration <= transform(toString(Transaction), {ids:Array(String)}, {limits:Array(Float64)}, inf) AS good,
        (toUnixTimestamp64Nano({end:DateTime64(9)}) - toUnixTimestamp64Nano(Timestamp)) / 1e9 AS since
    FROM otel.clew_occurrences FINAL
    PREWHERE Transaction IN {ids:Array(String)}
        AND Timestamp >= least({start:DateTime64(9)}, {end:DateTime64(9)} - toIntervalDay(3))
        AND Timestamp < {end:DateTime64(9)}
    WHERE {environment:Nullable(String)} IS NULL OR Environment = {environment:Nullable(String)}
)
GROUP BY Transaction
