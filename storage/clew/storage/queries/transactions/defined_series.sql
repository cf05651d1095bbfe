-- A defined transaction over time, by {step} seconds. (size0: the ids themselves are not read.)
SELECT
    clew_time(toStartOfInterval(toDateTime(Timestamp), toIntervalSecond({step:UInt32}))) AS time,
    count() AS count,
    sum(TraceIds.size0) AS traces,
    countIf(IsError) AS errors,
    arrayMap(nanoseconds -> nanoseconds / 1e6, quantilesDD(0.01, 0.5, 0.9, 0.95, 0.99)(EntryDuration)) AS quantiles
FROM otel.clew_occurrences FINAL
PREWHERE Transaction = {defined:String}
    AND Timestamp >= {start:DateTime64(9)} AND Timestamp < {end:DateTime64(9)}
WHERE {environment:Nullable(String)} IS NULL OR Environment = {environment:Nullable(String)}
GROUP BY time
ORDER BY time
