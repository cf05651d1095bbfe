-- What Jaeger's list of traces is made of: the spans of some traces, trace by trace.
SELECT
    TraceId AS trace_id,
    SpanId AS span_id,
    ParentSpanId AS parent_span_id,
    SpanName AS name,
    SpanKind AS kind,
    ServiceName AS service,
    toUnixTimestamp64Nano(Timestamp) AS began,
    clew_duration(Duration) AS lasted,
    clew_is_error(StatusCode) AS is_error
FROM otel.otel_traces
WHERE TraceId IN {trace_ids:Array(String)}
    AND Timestamp >= {start:DateTime64(9)} AND Timestamp <= {end:DateTime64(9)}
ORDER BY trace_id
