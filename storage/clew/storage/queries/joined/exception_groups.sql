-- with entries
-- Exceptions of a window over all services, from span events and log records alike, by service, type and message; one
-- that a span and a log record of that span both report counts once, one without a trace id for itself. example and
-- example_at: the newest one, of those with a trace id if there are any. traces: some of their traces.
SELECT
    service,
    type,
    message,
    count() AS count,
    clew_time(min(earliest)) AS first,
    clew_time(max(latest)) AS last,
    sumMap([version], [toUInt64(1)]) AS versions,
    argMax((trace_id, span_id, latest), (trace_id != '', latest)) AS newest,
    newest.1 AS example_trace_id,
    newest.2 AS example_span_id,
    clew_time(newest.3) AS example_at,
    groupUniqArrayIf(40)(trace_id, trace_id != '') AS traces
FROM
(
    SELECT service, type, message, trace_id, span_id, number,
        max(version) AS version, min(at) AS earliest, max(at) AS latest
    FROM
    (
        SELECT ServiceName AS service, Type AS type, clew_exception_message(Message) AS message,
            TraceId AS trace_id, SpanId AS span_id, 0 AS number, toString(ServiceVersion) AS version, At AS at
        FROM otel.clew_span_exceptions
        WHERE At >= {since:DateTime64(9)} AND At < {until:DateTime64(9)}
            AND ({of_service:Nullable(String)} IS NULL OR ServiceName = {of_service:Nullable(String)})
            AND ({environment:Nullable(String)} IS NULL OR Environment = {environment:Nullable(String)})
            AND ({type:Nullable(String)} IS NULL OR Type = {type:Nullable(String)})
            AND (NOT {in_transaction:Bool} OR TraceId IN (SELECT TraceId FROM entries))
        UNION ALL
        SELECT ServiceName, Type, clew_exception_message(Message),
            TraceId, SpanId, if(TraceId = '', rowNumberInAllBlocks() + 1, 0), toString(ServiceVersion), Timestamp
        FROM otel.clew_log_exceptions
        WHERE Timestamp >= {since:DateTime64(9)} AND Timestamp < {until:DateTime64(9)}
            AND ({of_service:Nullable(String)} IS NULL OR ServiceName = {of_service:Nullable(String)})
            AND ({environment:Nullable(String)} IS NULL OR Environment = {environment:Nullable(String)})
            AND ({type:Nullable(String)} IS NULL OR Type = {type:Nullable(String)})
            AND (NOT {in_transaction:Bool} OR TraceId IN (SELECT TraceId FROM entries))
    )
    WHERE empty({text:String})
        OR positionCaseInsensitiveUTF8(type, {text:String}) > 0
        OR positionCaseInsensitiveUTF8(message, clew_exception_message({text:String})) > 0
    GROUP BY service, type, message, trace_id, span_id, number
)
GROUP BY service, type, message
ORDER BY count DESC, last DESC, service, type, message
LIMIT {limit:UInt32}
