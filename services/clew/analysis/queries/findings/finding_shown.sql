-- What shows a finding: the spans of its service in its examples, each with its parent, in the order of their starts.
SELECT
    TraceId, Timestamp, SpanName, SpanKind, Duration / 1e6 AS duration_ms, StatusCode, SpanId, ParentSpanId,
    SpanAttributes
FROM otel.otel_traces
WHERE TraceId IN {trace_ids:Array(String)} AND ServiceName = {service:String}
    AND Timestamp >= {since:DateTime64(9)} AND Timestamp <= {until:DateTime64(9)}
ORDER BY TraceId, Timestamp
LIMIT 1000
