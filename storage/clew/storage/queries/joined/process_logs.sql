-- Log records without a trace from some processes, newest first; in the order of the table's key.
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
    'resource' AS linked_by
FROM otel.otel_logs
WHERE toStartOfFiveMinutes(Timestamp) >= toStartOfFiveMinutes({start:DateTime64(9)})
    AND toStartOfFiveMinutes(Timestamp) <= toStartOfFiveMinutes({end:DateTime64(9)})
    AND Timestamp >= {start:DateTime64(9)} AND Timestamp <= {end:DateTime64(9)}
    AND TraceId = '' AND ServiceName IN {services:Array(String)}
    AND (ServiceName, ResourceAttributes['service.instance.id']) IN {processes:Array(Tuple(String, String))}
ORDER BY toStartOfFiveMinutes(Timestamp) DESC, Timestamp DESC, service, span_id, body
LIMIT {limit:UInt32}
