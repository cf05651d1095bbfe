-- with linked_traces
-- Log records of some traces, and those without a trace from the same processes in the same time.
SELECT
    clew_time(Timestamp) AS time,
    SeverityText AS severity,
    ServiceName AS service,
    Body AS body,
    LogAttributes AS attributes,
    TraceId AS trace_id,
    SpanId AS span_id,
    if(TraceId != '', 'trace', 'resource') AS linked_by
FROM otel.otel_logs
WHERE toStartOfFiveMinutes(Timestamp) >= toStartOfFiveMinutes({start:DateTime64(9)})
    AND toStartOfFiveMinutes(Timestamp) <= toStartOfFiveMinutes({end:DateTime64(9)})
    AND Timestamp >= {start:DateTime64(9)} AND Timestamp <= {end:DateTime64(9)}
    AND ((TraceId != '' AND TraceId IN traces)
        OR (TraceId = '' AND (ServiceName, ResourceAttributes['service.instance.id'])
            IN {processes:Array(Tuple(String, String))}))
ORDER BY linked_by DESC, Timestamp DESC
LIMIT {limit:UInt32} BY linked_by
