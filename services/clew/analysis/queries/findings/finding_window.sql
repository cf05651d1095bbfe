-- How many spans settled traces had, by the hour, the newest first: how far back findings look.
SELECT
    toUnixTimestamp(toStartOfHour(Timestamp)) AS hour,
    sum(SpanCount) AS spans,
    toUnixTimestamp64Nano(min(Timestamp)) AS oldest,
    toUnixTimestamp64Nano(max(Timestamp)) AS newest
FROM otel.clew_settled
WHERE Timestamp >= {since:DateTime64(9)} AND Timestamp < {until:DateTime64(9)}
GROUP BY hour
ORDER BY hour DESC
