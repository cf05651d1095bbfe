-- The hours with settled traces whose rows are from before Path.Most, the newest first.
SELECT
    toString(toStartOfHour(Timestamp)) AS since,
    toString(toStartOfHour(Timestamp) + toIntervalHour(1)) AS before,
    count() AS traces
FROM otel.clew_settled FINAL
WHERE Timestamp >= {start:DateTime64(9)} AND Timestamp < {end:DateTime64(9)}
    AND has(Path.Most, 0)
GROUP BY toStartOfHour(Timestamp)
ORDER BY since DESC
