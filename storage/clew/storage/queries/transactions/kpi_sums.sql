-- The sum of an attribute's numbers over spans of a service and an operation ('': any), by the hour.
SELECT
    toUnixTimestamp(toStartOfHour(toDateTime(Timestamp))) AS hour,
    sum(toFloat64OrZero(SpanAttributes[{attribute:String}])) AS total
FROM otel.otel_traces
WHERE ServiceName = {service:String} AND ({operation:String} = '' OR SpanName = {operation:String})
    AND Timestamp >= {start:DateTime64(9)} AND Timestamp < {end:DateTime64(9)}
    AND mapContains(SpanAttributes, {attribute:String})
    AND ({environment:Nullable(String)} IS NULL OR Environment = {environment:Nullable(String)})
GROUP BY hour
ORDER BY hour
