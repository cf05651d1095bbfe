-- How much waits to be settled: rows of clew_traces, so an upper bound, by the second of their insertion.
SELECT toUnixTimestamp(InsertedAt) AS second, count() AS traces
FROM otel.clew_traces
WHERE InsertedAt >= {since:DateTime}
GROUP BY InsertedAt
ORDER BY InsertedAt
