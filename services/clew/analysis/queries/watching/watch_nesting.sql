-- The spans of some traces in a window: which lies below which.
SELECT TraceId AS trace, SpanId AS span, ParentSpanId AS parent, toString(ServiceName) AS service, toString(SpanName) AS operation
FROM otel.otel_traces
WHERE TraceId IN {traces:Array(String)} AND Timestamp >= {start:DateTime} AND Timestamp < {end:DateTime}
LIMIT {limit:UInt32}
