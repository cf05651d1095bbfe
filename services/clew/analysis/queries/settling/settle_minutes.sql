-- The minutes whose edges are to be made again: those of the traces with spans that were inserted from a
-- time on, by the hour.
SELECT
    toUnixTimestamp(toStartOfHour(clew_minute(Timestamp))) AS hour,
    arraySort(groupUniqArray(toUnixTimestamp(clew_minute(Timestamp)))) AS minutes
FROM otel.clew_settled
WHERE InsertedAt >= {since:DateTime}
GROUP BY hour
ORDER BY hour
