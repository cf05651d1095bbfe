-- Log records of one trace, and those without a trace from its processes in the same time. What has the
-- trace's id may have been written before it or after it: 5 minutes are looked at.
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
    if(TraceId != '', 'trace', 'resource') AS linked_by
FROM otel.otel_logs
WHERE toStartOfFiveMinutes(Timestamp) >= toStartOfFiveMinutes({start:DateTime64(9)}) - toIntervalMinute(5)
    AND toStartOfFiveMinutes(Timestamp) <= toStartOfFiveMinutes({end:DateTime64(9)}) + toIntervalMinute(5)
    AND (TraceId = {trace_id:String}
        OR (TraceId = '' AND Timestamp >= {start:DateTime64(9)} AND Timestamp <= {end:DateTime64(9)}
            AND (ServiceName, ResourceAttributes['service.instance.id']) IN {processes:Array(Tuple(String, String))}))
ORDER BY linked_by DESC, Timestamp DESC, service, trace_id, span_id, body
LIMIT {limit:UInt32} BY linked_by
