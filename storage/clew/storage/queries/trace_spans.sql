-- Every span of one trace.
SELECT
    SpanId AS span_id,
    ParentSpanId AS parent_span_id,
    SpanName AS name,
    SpanKind AS kind,
    ServiceName AS service,
    clew_time(Timestamp) AS start,
    toUnixTimestamp64Nano(Timestamp) AS start_ns,
    clew_duration(Duration) / 1e6 AS duration_ms,
    Duration >= 9223372036854775808 AS ends_before_start,
    StatusCode AS status,
    StatusMessage AS status_message,
    ScopeName AS scope,
    SpanAttributes AS attributes,
    ResourceAttributes AS resource,
    arrayMap((t, n, a) -> (clew_time(t), n, a), Events.Timestamp, Events.Name, Events.Attributes)
        ::Array(Tuple(time String, name String, attributes Map(String, String))) AS events,
    arrayMap((t, s, a) -> (t, s, a), Links.TraceId, Links.SpanId, Links.Attributes)
        ::Array(Tuple(trace_id String, span_id String, attributes Map(String, String))) AS links
FROM otel.otel_traces
WHERE TraceId = {trace_id:String}
    AND Timestamp >= {start:DateTime64(9)} AND Timestamp <= {end:DateTime64(9)}
ORDER BY Timestamp, SpanId
LIMIT {limit:UInt32}
