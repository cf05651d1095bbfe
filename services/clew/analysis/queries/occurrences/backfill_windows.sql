-- The stretches of five minutes in which traces begin, newest first.
SELECT
    toString(min(Start)) AS start,
    toString(max(Start)) AS end,
    uniq(TraceId) AS traces
FROM otel.clew_traces
WHERE Start >= {start:DateTime64(9)} AND Start < {end:DateTime64(9)}
GROUP BY intDiv(toUnixTimestamp64Nano(Start), 300000000000)
ORDER BY min(Start) DESC
