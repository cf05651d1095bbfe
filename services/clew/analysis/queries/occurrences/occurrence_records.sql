-- The spans and log records of a few traces, with the attributes in `names` that are not empty: what occurrence_traces
-- makes of them, Python computes for few (clew.analysis.transactions.contributions). At most `limit` of them.
SELECT
    TraceId AS trace_id,
    SpanId AS span_id,
    toUnixTimestamp64Nano(Timestamp) AS start,
    clew_end(Timestamp, Duration) AS end,
    clew_duration(Duration) AS duration,
    toString(ServiceName) AS service,
    toString(SpanName) AS operation,
    toString(Environment) AS environment,
    toBool(clew_is_error(StatusCode)) AS is_error,
    clew_entry_rank(ParentSpanId, SpanKind) AS rank,
    arrayFilter(
        pair -> pair.2 != '' AND has({names:Array(String)}, pair.1),
        arrayConcat(
            arrayZip(SpanAttributes.keys, SpanAttributes.values),
            arrayZip(ResourceAttributes.keys, ResourceAttributes.values))) AS attributes,
    true AS is_span
FROM otel.otel_traces
WHERE TraceId IN {trace_ids:Array(String)}
    AND Timestamp >= {start:DateTime64(9)} AND Timestamp <= {end:DateTime64(9)}
LIMIT {limit:UInt64}
UNION ALL
SELECT
    TraceId, SpanId, toUnixTimestamp64Nano(Timestamp), 0, 0, '', '', '', false, 2,
    arrayFilter(
        pair -> pair.2 != '' AND has({names:Array(String)}, pair.1),
        arrayConcat(
            arrayZip(LogAttributes.keys, LogAttributes.values),
            arrayZip(ResourceAttributes.keys, ResourceAttributes.values))) AS attributes,
    false
FROM otel.otel_logs
WHERE TraceId IN {trace_ids:Array(String)}
    AND toStartOfFiveMinutes(Timestamp) >= toStartOfFiveMinutes({logs_start:DateTime64(9)})
    AND Timestamp >= {logs_start:DateTime64(9)} AND Timestamp <= {logs_end:DateTime64(9)}
    AND notEmpty(attributes)
LIMIT {limit:UInt64}
