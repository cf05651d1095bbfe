-- The hours of a window in which anything came.
SELECT DISTINCT toUnixTimestamp(Hour) AS hour
FROM otel.clew_operations_1h
WHERE Hour >= {start:DateTime} AND Hour < {end:DateTime}
ORDER BY hour
