-- The innermost own frames of some exceptions, each given by its service, type, trace id and time.
SELECT service, type, trace_id, clew_time(at) AS at, max(clew_exception_place(clew_exception_frame(stack))) AS frame
FROM
(
    SELECT ServiceName AS service, Type AS type, TraceId AS trace_id, At AS at, Stack AS stack
    FROM otel.clew_span_exceptions
    WHERE At >= {start:DateTime64(9)} AND At < {end:DateTime64(9)}
        AND ServiceName IN {services:Array(String)} AND Type IN {types:Array(String)} AND TraceId IN {trace_ids:Array(String)}
        AND (ServiceName, Type, TraceId, At) IN {examples:Array(Tuple(String, String, String, DateTime64(9)))}
    UNION ALL
    SELECT ServiceName, Type, TraceId, Timestamp, Stack
    FROM otel.clew_log_exceptions
    WHERE Timestamp >= {start:DateTime64(9)} AND Timestamp < {end:DateTime64(9)}
        AND ServiceName IN {services:Array(String)} AND Type IN {types:Array(String)} AND TraceId IN {trace_ids:Array(String)}
        AND (ServiceName, Type, TraceId, Timestamp) IN {examples:Array(Tuple(String, String, String, DateTime64(9)))}
)
GROUP BY service, type, trace_id, at
