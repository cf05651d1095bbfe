-- with entries
-- Log records of the traces, newest first. What a trace's processes wrote with its id may come before it
-- or after it: 5 minutes are looked at. In the order of the table's key, so that a day is not read
-- where the last minutes have enough.
SELECT
    clew_time(Timestamp) AS time,
    clew_severity(SeverityText, Level) AS severity,
    clew_level_name(Level) AS level,
    EventName AS event_name,
    ServiceName AS service,
    Body AS body,
    LogAttributes AS attributes,
    TraceId AS trace_id,
    SpanId AS span_id,
    'trace' AS linked_by
FROM otel.otel_logs
WHERE toStartOfFiveMinutes(Timestamp) >= toStartOfFiveMinutes({from:DateTime64(9)}) - toIntervalMinute(5)
    AND toStartOfFiveMinutes(Timestamp) <= toStartOfFiveMinutes({to:DateTime64(9)}) + toIntervalMinute(5)
    AND TraceId != '' AND TraceId IN (SELECT TraceId FROM entries)
ORDER BY toStartOfFiveMinutes(Timestamp) DESC, Timestamp DESC, service, trace_id, span_id, body
LIMIT {limit:UInt32}
