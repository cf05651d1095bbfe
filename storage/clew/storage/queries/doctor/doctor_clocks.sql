-- Services whose spans began after they were stored: their clocks are ahead, by so many seconds at most.
SELECT
    ServiceName AS service,
    count() AS spans,
    toFloat64(max(toUnixTimestamp64Milli(Timestamp) / 1000 - toUnixTimestamp(InsertedAt))) AS seconds
FROM otel.otel_traces
WHERE Timestamp >= {start:DateTime64(9)} AND Timestamp < {end:DateTime64(9)} + INTERVAL 1 DAY
    AND InsertedAt >= toDateTime({start:DateTime64(9)})
    AND toDateTime(Timestamp) > InsertedAt + {seconds:UInt32}
    AND ({environment:Nullable(String)} IS NULL OR Environment = {environment:Nullable(String)})
GROUP BY service
ORDER BY seconds DESC, service
LIMIT {limit:UInt32}
