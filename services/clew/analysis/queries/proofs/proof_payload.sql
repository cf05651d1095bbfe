-- Bytes of the response's body of an operation's spans in a window, on average, of at most 100,000 that say it.
SELECT count() AS requests, avg(bytes) AS payload
FROM
(
    SELECT toFloat64OrNull(SpanAttributes['http.response.body.size']) AS bytes
    FROM otel.otel_traces
    WHERE ServiceName = {service:String} AND ({name:String} = '' OR SpanName = {name:String})
        AND Environment = {environment:String} AND Timestamp >= {start:DateTime} AND Timestamp < {end:DateTime}
        AND clew_is_entry_kind(SpanKind) AND bytes IS NOT NULL
    LIMIT 100000
)
