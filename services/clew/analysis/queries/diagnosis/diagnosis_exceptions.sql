-- The exceptions that spans and log records of A and B report, by service, type and place in the code.
SELECT
    service,
    Type AS type,
    clew_exception_place(clew_exception_frame(Stack)) AS place,
    any(clew_exception_message(Message)) AS message,
    countIf(is_a) AS came,
    countIf(NOT is_a) AS baseline,
    anyIf(TraceId, is_a) AS example
FROM
(
    SELECT ServiceName AS service, Type, Stack, Message, TraceId, Timestamp, Environment FROM otel.clew_span_exceptions
    UNION ALL
    SELECT ServiceName AS service, Type, Stack, Message, TraceId, Timestamp, Environment FROM otel.clew_log_exceptions
)
WHERE ((Timestamp >= {start:DateTime64(9)} AND Timestamp < {end:DateTime64(9)} AS is_a)
        OR (Timestamp >= {baseline_start:DateTime64(9)} AND Timestamp < {baseline_end:DateTime64(9)}))
    AND ({environment:Nullable(String)} IS NULL OR Environment = {environment:Nullable(String)})
GROUP BY service, type, place
HAVING came > 0
ORDER BY came DESC, service, type, place
LIMIT 200
