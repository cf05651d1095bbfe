-- Log records by their keys (log_keys); those without a trace are from some processes. ({times}, those of the keys, decide
-- before the keys do: the keys alone took two thirds of the time.)
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
    if(TraceId = '', 'resource', 'trace') AS linked_by,
    multiIf(Level >= 17, 2, Level >= 13, 1, 0) AS gravity
FROM otel.otel_logs
PREWHERE toStartOfFiveMinutes(Timestamp) IN {slots:Array(DateTime)} AND ServiceName IN {services:Array(String)}
    AND Timestamp IN {times:Array(DateTime64(9))}
WHERE (ServiceName, Timestamp, TraceId, SpanId, Level) IN {keys:Array(Tuple(String, DateTime64(9), String, String, UInt8))}
    AND (TraceId != '' OR (ServiceName, ResourceAttributes['service.instance.id']) IN {processes:Array(Tuple(String, String))})
ORDER BY gravity DESC, Timestamp DESC, service, trace_id, span_id, body
LIMIT {limit:UInt32} BY linked_by
