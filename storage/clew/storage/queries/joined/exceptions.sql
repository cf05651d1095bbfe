-- with entries
-- Exceptions in the traces, from span events and log records alike; one that a span and a log record of
-- that span both report counts once. Frame is the innermost one of their own code, without its line:
-- Python's stack traces have it last, those of Java, .NET, Node, Go and Ruby first.
SELECT
    type,
    message,
    service,
    clew_exception_place(innermost) AS frame,
    count() AS count,
    uniqExactArray(keys) AS instances,
    clew_time(min(earliest)) AS first,
    clew_time(max(latest)) AS last,
    argMax(trace_id, latest) AS example_trace_id
FROM
(
    SELECT
        service,
        type,
        clew_exception_message(text) AS message,
        trace_id,
        groupUniqArray(Instance) AS keys,
        max(innermost) AS innermost,
        min(at) AS earliest,
        max(at) AS latest
    FROM
    (
        SELECT Instance, service, trace_id, span_id, at, type, text,
            clew_exception_frame(stack) AS innermost
        FROM entries
        INNER JOIN
        (
            SELECT ServiceName AS service, TraceId AS trace_id, SpanId AS span_id, At AS at,
                Type AS type, Message AS text, Stack AS stack
            FROM otel.clew_span_exceptions
            WHERE Timestamp >= {from:DateTime64(9)} AND Timestamp < {to:DateTime64(9)} + toIntervalHour(1)
            UNION ALL
            SELECT ServiceName, TraceId, SpanId, Timestamp, Type, Message, Stack
            FROM otel.clew_log_exceptions
            WHERE Timestamp >= {from:DateTime64(9)} AND Timestamp < {to:DateTime64(9)} + toIntervalHour(1)
        ) AS raised ON raised.trace_id = entries.TraceId
    )
    GROUP BY service, type, message, trace_id, span_id
)
GROUP BY type, message, service, frame
ORDER BY count DESC, last DESC, service, type, message, frame
LIMIT {limit:UInt32}
