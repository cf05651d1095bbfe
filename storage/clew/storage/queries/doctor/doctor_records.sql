-- How many log records there are in the window, for the share that is looked at.
SELECT count() AS records
FROM otel.otel_logs
WHERE toStartOfFiveMinutes(Timestamp) >= toStartOfFiveMinutes({start:DateTime64(9)})
    AND Timestamp >= {start:DateTime64(9)} AND Timestamp < {end:DateTime64(9)}
