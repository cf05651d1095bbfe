-- How many log records each service wrote in a stretch of time.
SELECT
    toString(ServiceName) AS service,
    count() AS records
FROM otel.otel_logs
WHERE toStartOfFiveMinutes(Timestamp) >= toStartOfFiveMinutes({since:DateTime64(9)})
    AND Timestamp >= {since:DateTime64(9)} AND Timestamp < {until:DateTime64(9)}
GROUP BY service
ORDER BY records DESC, service
LIMIT {limit:UInt32}
