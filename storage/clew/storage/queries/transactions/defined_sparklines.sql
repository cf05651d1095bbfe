-- Some defined transactions over time, by {step} seconds.
SELECT
    Transaction AS id,
    clew_time(toStartOfInterval(toDateTime(Timestamp), toIntervalSecond({step:UInt32}))) AS time,
    count() AS count,
    countIf(IsError) AS errors,
    quantileDD(0.01, 0.95)(EntryDuration) / 1e6 AS p95
FROM otel.clew_occurrences FINAL
PREWHERE Transaction IN {ids:Array(String)}
    AND Timestamp >= {start:DateTime64(9)} AND Timestamp < {end:DateTime64(9)}
WHERE {environment:Nullable(String)} IS NULL OR Environment = {environment:Nullable(String)}
GROUP BY id, time
ORDER BY id, time
