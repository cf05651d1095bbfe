-- with linked_traces
-- Exceptions in the traces of a transaction, from span events and log records alike; one that a
-- span and a log record of that span both report counts once.
SELECT
    type,
    replaceRegexpAll(message, '[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|\\b(0x)?[0-9a-fA-F]*[0-9][0-9a-fA-F]*\\b|[0-9]+', '#') AS message,
    service,
    uniqExact(occurrence) AS count,
    clew_time(min(at)) AS first,
    clew_time(max(at)) AS last,
    argMax(trace_id, at) AS example_trace_id
FROM
(
    SELECT ServiceName AS service, TraceId AS trace_id, (TraceId, SpanId) AS occurrence,
           event.1 AS at, event.2['exception.type'] AS type, event.2['exception.message'] AS message
    FROM otel.otel_traces
    ARRAY JOIN arrayFilter((e, n) -> n = 'exception', arrayZip(Events.Timestamp, Events.Attributes), Events.Name) AS event
    WHERE has(Events.Name, 'exception')
        AND Timestamp >= {start:DateTime64(9)} AND Timestamp < {end:DateTime64(9)} + toIntervalHour(1)
        AND TraceId IN traces
    UNION ALL
    SELECT ServiceName, TraceId, (TraceId, SpanId), Timestamp,
           LogAttributes['exception.type'], LogAttributes['exception.message']
    FROM otel.otel_logs
    WHERE mapContains(LogAttributes, 'exception.type')
        AND toStartOfFiveMinutes(Timestamp) >= toStartOfFiveMinutes({start:DateTime64(9)})
        AND Timestamp >= {start:DateTime64(9)} AND Timestamp < {end:DateTime64(9)} + toIntervalHour(1)
        AND TraceId IN traces
)
GROUP BY type, message, service
ORDER BY count DESC, last DESC, service, type, message
LIMIT {limit:UInt32}
