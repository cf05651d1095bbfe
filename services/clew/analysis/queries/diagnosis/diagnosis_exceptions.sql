-- The exceptions that spans and log records of A and B report, by service, type and place in the code, which has no
-- line: new lines above it do not make it another one. `frame`: one of A as it was written, with its line. Traces are counted: a
-- span, a log record of it and the spans above often report one and the same.
SELECT
    service,
    Type AS type,
    clew_exception_place(clew_exception_frame(Stack)) AS place,
    anyIf(clew_exception_frame(Stack), is_a) AS frame,
    any(clew_exception_message(Message)) AS message,
    uniqIf(reported, is_a) AS came,
    uniqIf(reported, NOT is_a) AS baseline,
    anyIf((TraceId, SpanId), is_a) AS example
FROM
(
    SELECT ServiceName AS service, Type, Stack, Message, TraceId, SpanId, Timestamp, Environment,
        cityHash64(TraceId, if(TraceId = '', toUnixTimestamp64Nano(Timestamp), 0)) AS reported
    FROM otel.clew_span_exceptions
    UNION ALL
    SELECT ServiceName AS service, Type, Stack, Message, TraceId, SpanId, Timestamp, Environment,
        cityHash64(TraceId, if(TraceId = '', toUnixTimestamp64Nano(Timestamp), 0)) AS reported
    FROM otel.clew_log_exceptions
)
WHERE ((Timestamp >= {start:DateTime64(9)} AND Timestamp < {end:DateTime64(9)} AS is_a)
        OR (Timestamp >= {baseline_start:DateTime64(9)} AND Timestamp < {baseline_end:DateTime64(9)}))
    AND ({environment:Nullable(String)} IS NULL OR Environment = {environment:Nullable(String)})
GROUP BY service, type, place
HAVING came > 0
ORDER BY came DESC, service, type, place
LIMIT 200
